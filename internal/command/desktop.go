package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"linkrelay/client"
	"linkrelay/internal/resolve"
	"linkrelay/relay"
)

const desktopDefaultURL = "http://127.0.0.1:8080"

// desktop holds the flags that every command of the reference desktop has.
type desktop struct{ relayURL, state string }

func newDesktopCommand() *cobra.Command {
	d := &desktop{}
	group := newGroup("desktop", "Be a linked desktop: work off jobs, manage the account's API keys",
		newDesktopLinkCommand(d), newDesktopRunCommand(d),
		newDesktopKeyCommand(d))
	group.PersistentFlags().StringVar(&d.relayURL, "relay-url", "", "address of the relay (default RELAY_DESKTOP_URL, the one it was linked at, or "+desktopDefaultURL+")")
	group.PersistentFlags().StringVar(&d.state, "state", "", "file of this desktop's credentials (default linkrelay/desktop.json in the user's configuration directory)")
	return group
}

// file returns the path of the credentials.
func (d *desktop) file() (string, error) {
	if d.state != "" {
		return d.state, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", usageError{errors.New("this user has no configuration directory: say with --state where the credentials are")}
	}
	return filepath.Join(dir, "linkrelay", "desktop.json"), nil
}

// open returns a client with the stored credentials.
func (d *desktop) open(o client.Options) (*client.Desktop, error) {
	path, err := d.file()
	if err != nil {
		return nil, err
	}
	s, err := readDesktopState(path)
	if err != nil {
		return nil, err
	}
	o.BaseURL = cmp.Or(d.relayURL, os.Getenv("RELAY_DESKTOP_URL"), s.RelayURL)
	o.KeyID, o.Secret = s.KeyID, s.Secret
	made, err := client.NewDesktop(o)
	return made, reached(err)
}

// reached sorts what a client fails with into what exit codes tell apart.
func reached(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, client.ErrOptions) {
		return usageError{err}
	}
	if _, refused := errors.AsType[*relay.Error](err); refused {
		return err
	}
	if foreign, ok := errors.AsType[*client.AnswerError](err); ok {
		if foreign.Status < 500 {
			return err
		}
		return unavailableError{err}
	}
	return unavailableError{fmt.Errorf("the relay does not answer: %w", withoutURL(err))}
}

func newDesktopLinkCommand(d *desktop) *cobra.Command {
	var code, name string
	var replace bool
	cmd := &cobra.Command{
		Use:   "link",
		Short: "Link this computer to an account, with a code made by the website or an operator",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if code == "" {
				return usageError{errors.New("--code is missing: the website or an operator makes one")}
			}
			path, err := d.file()
			if err != nil {
				return err
			}
			if _, err := os.Lstat(path); err == nil && !replace {
				return usageError{fmt.Errorf("this computer is linked already (%s): --replace forgets that", path)}
			}
			return d.link(cmd, path, code, cmp.Or(name, computerName()))
		},
	}
	cmd.Flags().StringVar(&code, "code", "", "the link code; case, dashes and spaces do not matter")
	cmd.Flags().StringVar(&name, "name", "", "what the account's owner sees (default this computer's name)")
	cmd.Flags().BoolVar(&replace, "replace", false, "link again although there are credentials already")
	return cmd
}

// link uses up the code. The file is made first: a code is not spent on
// credentials that cannot be kept.
func (d *desktop) link(cmd *cobra.Command, path, code, name string) error {
	file, err := newStateFile(path)
	if err != nil {
		return err
	}
	defer file.discard()
	url := cmp.Or(d.relayURL, os.Getenv("RELAY_DESKTOP_URL"), desktopDefaultURL)
	made, err := client.Link(cmd.Context(), url, code, name, runtime.GOOS+"/"+runtime.GOARCH)
	if err != nil {
		return reached(err)
	}
	if err := file.save(desktopState{url, made}); err != nil {
		return err
	}
	t := newTable(cmd.OutOrStdout())
	t.row("account", made.AccountID)
	t.row("device", made.DeviceID)
	t.row("key", made.KeyID)
	t.row("credentials", path)
	t.row("next", "linkrelay desktop run")
	return t.flush()
}

func computerName() string {
	name, err := os.Hostname()
	if err != nil || relay.CheckText(name, relay.MaxName) != "" {
		return "desktop"
	}
	return name
}

func newDesktopRunCommand(d *desktop) *cobra.Command {
	var maxInFlight int
	var allowPrivate bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Work off the account's jobs until stopped",
		Long: "Work off the account's jobs: follow each tracking link to its end and report where it leads.\n\n" +
			"SIGTERM or Ctrl-C finishes what is running; what takes too long goes to other desktops.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if maxInFlight < 1 || maxInFlight > relay.MaxStreamsInFlight {
				return usageError{fmt.Errorf("--max-in-flight must be between 1 and %d", relay.MaxStreamsInFlight)}
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			c, err := d.open(client.Options{Logger: log, MaxInFlight: maxInFlight})
			if err != nil {
				return err
			}
			defer c.Close()
			if allowPrivate {
				log.Warn("links may lead to addresses of private networks: for development only")
			}
			err = c.Run(cmd.Context(), resolving(resolve.New(resolve.Options{AllowPrivate: allowPrivate}), log))
			if bye, ok := errors.AsType[*client.ByeError](err); ok && bye.Code == "device_removed" {
				return errors.New("this desktop was removed from its account: link it again to go on")
			}
			return reached(err)
		},
	}
	cmd.Flags().IntVar(&maxInFlight, "max-in-flight", relay.DefaultInFlight, "links followed at once")
	cmd.Flags().BoolVar(&allowPrivate, "allow-private", false, "also follow links into private networks; for development only")
	return cmd
}

// resolving is the reference desktop's work: follow the link. The log names
// jobs and reasons, not links: those may carry what is private to a reader.
func resolving(r *resolve.Resolver, log *slog.Logger) client.Handler {
	return func(ctx context.Context, job relay.Delivery) (json.RawMessage, error) {
		result, err := r.Resolve(ctx, job.TrackingURL)
		if err == nil {
			log.Info("link resolved", "job", job.JobID, "hops", len(result.Hops), "status", result.FinalStatus)
			return json.Marshal(result)
		}
		if ctx.Err() == nil {
			log.Warn("link not resolved", "job", job.JobID, "reason", err)
		}
		if e, ok := errors.AsType[*resolve.Error](err); ok && e.RetryAfter > 0 {
			err = client.RetryIn(err, e.RetryAfter)
		}
		return nil, err
	}
}
