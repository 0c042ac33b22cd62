package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"linkrelay/client"
	"linkrelay/relay"
	"linkrelay/signature"
)

func newDesktopKeyCommand(d *desktop) *cobra.Command {
	return newGroup("key", "Manage the account's API keys",
		newDesktopKeyCreateCommand(d), newDesktopKeyListCommand(d), newDesktopKeyRotateCommand(d), newDesktopKeyRevokeCommand(d))
}

// keyFlags are the flags behind a client.KeySpec. What the relay judges (names
// of schemes and scopes, networks) is left to it: it names every fault.
type keyFlags struct {
	name, environment, expires string
	schemes, scopes, cidrs     []string
	allowSHA1                  bool
}

func (f *keyFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.name, "name", "", "what the key is for")
	cmd.Flags().StringVar(&f.environment, "environment", string(relay.Live), "live or test: it shows in the key's id")
	cmd.Flags().StringSliceVar(&f.schemes, "schemes", nil, "how its requests may be signed: link-peeler, iklim, signed-query (default link-peeler)")
	cmd.Flags().StringSliceVar(&f.scopes, "scopes", nil, "what it may do: jobs:create, jobs:read, jobs:cancel, jobs:create:query (default the first three)")
	cmd.Flags().BoolVar(&f.allowSHA1, "allow-sha1", false, "let signed-query use HMAC-SHA1, for callers that have nothing better")
	cmd.Flags().StringSliceVar(&f.cidrs, "allow-cidr", nil, "networks it may be used from, such as 192.0.2.0/24 (default all)")
	cmd.Flags().StringVar(&f.expires, "expires", "", "when it expires, as 2026-12-31T23:59:59Z (default never)")
}

func (f *keyFlags) spec() (client.KeySpec, error) {
	spec := client.KeySpec{
		Name: f.name, Environment: relay.Environment(f.environment), Schemes: typed[relay.Scheme](f.schemes),
		AllowSHA1: f.allowSHA1, Scopes: typed[relay.Scope](f.scopes), AllowedCIDRs: f.cidrs,
	}
	if spec.Name == "" {
		return spec, usageError{errors.New("--name is missing: say what the key is for")}
	}
	if e := spec.Environment; e != relay.Live && e != relay.Test {
		return spec, usageError{errors.New("--environment must be live or test")}
	}
	if f.expires != "" {
		at, err := time.Parse(time.RFC3339, f.expires)
		if err != nil {
			return spec, usageError{errors.New("--expires must be a time such as 2026-12-31T23:59:59Z")}
		}
		spec.ExpiresAt = &at
	}
	return spec, nil
}

func typed[T ~string](texts []string) (list []T) {
	for _, text := range texts {
		list = append(list, T(text))
	}
	return list
}

func newDesktopKeyCreateCommand(d *desktop) *cobra.Command {
	var flags keyFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create an API key and show its secret, this once",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, err := flags.spec()
			if err != nil {
				return err
			}
			return d.newSecret(cmd, asJSON, func(c *client.Desktop) (client.NewKey, error) { return c.CreateKey(cmd.Context(), spec) })
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the answer as JSON")
	return cmd
}

func newDesktopKeyRotateCommand(d *desktop) *cobra.Command {
	var grace time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rotate KEY",
		Short: "Give an API key another secret and show it, this once",
		Long: "Give an API key another secret and show it, this once.\n\n" +
			"The secret it had stays valid for --grace, so that programs can be changed one after the other;\n" +
			"desktop key list shows, some seconds later, when each was last used. --grace 0 ends it at once: for a secret that leaked.",
		Args: keyArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			if grace < 0 || grace > relay.MaxGrace {
				return usageError{fmt.Errorf("--grace must be between 0 and %v", relay.MaxGrace)}
			}
			return d.newSecret(cmd, asJSON, func(c *client.Desktop) (client.NewKey, error) { return c.RotateKey(cmd.Context(), args[0], grace) })
		},
	}
	cmd.Flags().DurationVar(&grace, "grace", relay.DefaultGrace, "how long the secret it had stays valid, at most 720h; 0 ends it at once")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the answer as JSON")
	return cmd
}

// newSecret makes a call that answers a key with a secret nobody has seen
// before, and shows both.
func (d *desktop) newSecret(cmd *cobra.Command, asJSON bool, ask func(*client.Desktop) (client.NewKey, error)) error {
	c, err := d.open(client.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	made, err := ask(c)
	if err != nil {
		return reached(err)
	}
	if asJSON {
		return printValue(cmd, made)
	}
	t := newTable(cmd.OutOrStdout())
	t.row("key", made.ID)
	t.row("secret", made.Secret)
	for _, s := range made.Secrets {
		if s.ValidUntil != nil {
			t.row(fmt.Sprintf("secret %d valid until", s.Generation), s.ValidUntil)
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "keep the secret now: it is shown this once")
	return nil
}

func newDesktopKeyListCommand(d *desktop) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the account's API keys, with a line for each of their secrets",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return d.keys(cmd, asJSON, func(c *client.Desktop) (relay.KeyInventory, error) { return c.ListKeys(cmd.Context()) })
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the answer as JSON")
	return cmd
}

func newDesktopKeyRevokeCommand(d *desktop) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "revoke KEY",
		Short: "Revoke an API key, at once and for good",
		Args:  keyArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.keys(cmd, asJSON, func(c *client.Desktop) (relay.KeyInventory, error) { return c.RevokeKey(cmd.Context(), args[0]) })
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the answer as JSON")
	return cmd
}

// keyArgument wants one id of an API key.
func keyArgument(cmd *cobra.Command, args []string) error {
	if err := exactly("KEY")(cmd, args); err != nil {
		return err
	}
	if kind, ok := signature.ParseKeyID(args[0]); !ok || kind == signature.KindDevice {
		return usageError{errors.New("KEY must be the id of an API key, lp_live_… or lp_test_…, as desktop key list shows it")}
	}
	return nil
}

// keys makes a call that answers the account's keys, and prints them.
func (d *desktop) keys(cmd *cobra.Command, asJSON bool, ask func(*client.Desktop) (relay.KeyInventory, error)) error {
	c, err := d.open(client.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	inventory, err := ask(c)
	if err != nil {
		return reached(err)
	}
	if asJSON {
		return printValue(cmd, inventory)
	}
	t := newTable(cmd.OutOrStdout())
	printKeys(t, inventory)
	return t.flush()
}

// printValue prints an answer as JSON.
func printValue(cmd *cobra.Command, answer any) error {
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return printJSON(cmd.OutOrStdout(), text)
}
