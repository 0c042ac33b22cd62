package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"text/template"
	"time"

	_ "embed"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"linkrelay/client"
	"linkrelay/config"
	"linkrelay/internal/resolve"
	"linkrelay/relay"
	"linkrelay/signature"
)

func newDemoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show everything at work, on the embedded store",
		Long: "Start a relay on the embedded store, a small site of redirects and a desktop, and send signed requests.\n\n" +
			"On a terminal it keeps running until Ctrl-C, with commands to paste; elsewhere it ends by itself.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), cmd.OutOrStdout(), isTerminal(cmd.OutOrStdout()))
		},
	}
}

// runDemo starts a relay, tells the story on out, and with stay serves until
// ctx ends.
func runDemo(ctx context.Context, out io.Writer, stay bool) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c, err := demoSettings()
	if err != nil {
		return err
	}
	ready, ended := make(chan *replica, 1), make(chan error, 1)
	go func() { ended <- serveWith(ctx, c, zap.NewNop(), func(r *replica) { ready <- r }) }()
	var r *replica
	select {
	case r = <-ready:
	case err := <-ended:
		return err
	}
	d := &demo{out: out, relay: "http://" + r.publicPort.Addr().String(), admin: "http://" + r.adminPort.Addr().String(), token: c.AdminToken.Reveal()}
	err = d.tell(ctx)
	switch {
	case err == nil && stay:
		d.say("\nThe relay and the desktop keep running. Ctrl-C ends them and everything they hold.")
		<-ctx.Done()
	case err == nil:
		d.say("\nThis is no terminal, so the demo ends here. On one it keeps running for the commands above.")
	}
	stop()
	d.desktop.Wait()
	return errors.Join(err, d.desktopErr, <-ended)
}

// demoSettings are those of a relay for development, on free ports.
func demoSettings() (*config.Config, error) {
	c, err := config.Defaults()
	if err != nil {
		return nil, err
	}
	c.Listen, c.AdminListen = "127.0.0.1:0", "127.0.0.1:0"
	c.AdminToken = config.NewSecret(signature.NewSecret())
	c.Embedded, c.AllowPrivateTargets = true, true // the site of redirects is on this machine
	c.Drain = 2 * time.Second                      // there is no other replica to hand over to
	return c, nil
}

// demo tells the story step by step. The first step that fails ends it.
type demo struct {
	out                 io.Writer
	relay, admin, token string
	step                int
	account             string
	signer              signature.Signer
	desktop             sync.WaitGroup
	desktopErr          error // once desktop is done
}

func (d *demo) tell(ctx context.Context) error {
	d.say("linkrelay demo: a platform asks for a link to be resolved; a desktop behind NAT does the work.")
	d.say("The store is embedded: nothing here outlives this process.")
	site, err := startSite(ctx)
	if err != nil {
		return err
	}
	for _, chapter := range []func(context.Context, string) error{d.setUp, d.fetchOne, d.refusals} {
		if err := chapter(ctx, site); err != nil {
			return err
		}
	}
	return d.commands(site)
}

// setUp makes what a platform and a desktop need.
func (d *demo) setUp(ctx context.Context, site string) error {
	d.next("The relay listens at %s, its operators' listener at %s.", d.relay, d.admin)
	d.next("A small site of redirects listens at %s.", site)
	var account relay.Account
	if err := d.operator(ctx, http.MethodPost, "", `{"plan":"pro"}`, &account); err != nil {
		return err
	}
	d.account = account.ID
	var code relay.LinkCode
	if err := d.operator(ctx, http.MethodPost, "/"+d.account+"/link-codes", `{}`, &code); err != nil {
		return err
	}
	d.next("The operator creates the account %s and a link code that works once: %s", d.account, code.Code)
	made, err := client.Link(ctx, d.relay, code.Code, "demo desktop", "demo")
	if err != nil {
		return err
	}
	desk, err := client.NewDesktop(client.Options{BaseURL: d.relay, KeyID: made.KeyID, Secret: made.Secret, Grace: -1})
	if err != nil {
		return err
	}
	d.next("A desktop trades the code for its own key %s and waits for jobs on a stream it opened itself.", made.KeyID)
	resolver := resolve.New(resolve.Options{AllowPrivate: true})
	d.desktop.Go(func() {
		defer desk.Close()
		d.desktopErr = desk.Run(ctx, resolving(resolver, slog.New(slog.DiscardHandler)))
	})
	key, err := desk.CreateKey(ctx, client.KeySpec{Name: "demo platform", Environment: relay.Test})
	if err != nil {
		return err
	}
	d.signer = signature.Signer{KeyID: key.ID, Secret: key.Secret}
	d.next("The desktop creates an API key for the platform: %s; its secret is shown this once.", key.ID)
	return nil
}

// fetchOne follows one job from the signed request to its result.
func (d *demo) fetchOne(ctx context.Context, site string) error {
	body := fetchBody("demo-1", site+"/click?campaign=42")
	headers := d.signer.V1(time.Now(), signature.NewNonce(), body)
	d.next("The platform signs timestamp.nonce.body with HMAC-SHA256 and sends:\n\n     POST /api/links/fetch\n%s\n     %s\n", indentHeaders(headers), body)
	job, err := d.expect(ctx, headers, body, http.StatusAccepted, "")
	if err != nil {
		return err
	}
	d.say("   The relay answers 202: job %s is %s.", job.ID, job.State)
	platform, err := client.NewPlatform(client.Options{BaseURL: d.relay, KeyID: d.signer.KeyID, Secret: d.signer.Secret})
	if err != nil {
		return err
	}
	defer platform.Close()
	waiting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	done, err := platform.Wait(waiting, job.ID)
	if err != nil {
		return err
	}
	if done.State != relay.Succeeded {
		return fmt.Errorf("the job ended as %s: %s", done.State, done.Error)
	}
	var result bytes.Buffer
	if err := json.Indent(&result, done.Result, "     ", "  "); err != nil {
		return err
	}
	d.next("The desktop pulled the job, followed the link and returned where it leads. The platform reads:\n\n     %s\n", result.String())
	return nil
}

// refusals shows what keeps a careless or hostile caller from doing harm.
func (d *demo) refusals(ctx context.Context, site string) error {
	body := fetchBody("demo-2", site+"/click?campaign=43")
	headers := d.signer.V1(time.Now(), signature.NewNonce(), body)
	if _, err := d.expect(ctx, headers, body, http.StatusAccepted, ""); err != nil {
		return err
	}
	d.next("Replay: a second job is accepted, and then the very same bytes are sent again.")
	if _, err := d.expect(ctx, headers, body, http.StatusConflict, relay.NonceReplayed); err != nil {
		return err
	}
	d.next("Retry: the same job, signed anew with a fresh nonce. No second job, no quota taken.")
	again, err := d.send(ctx, d.signer.V1(time.Now(), signature.NewNonce(), body), body)
	if err != nil {
		return err
	}
	if again.Header.Get("Idempotent-Replayed") != "true" {
		return fmt.Errorf("the retry was answered %s and is not marked as replayed", again.Status)
	}
	d.say("   %s, Idempotent-Replayed: true", again.Status)
	d.next("Tampering: one character of the body is changed after signing.")
	fresh := fetchBody("demo-3", site+"/click?campaign=44")
	headers = d.signer.V1(time.Now(), signature.NewNonce(), fresh)
	if _, err := d.expect(ctx, headers, bytes.Replace(fresh, []byte("44"), []byte("45"), 1), http.StatusUnauthorized, relay.SignatureInvalid); err != nil {
		return err
	}
	d.next("Quota: the operator lowers the account to two jobs a day, and both are used.")
	if err := d.operator(ctx, http.MethodPatch, "/"+d.account, `{"limits":{"perDay":2}}`, nil); err != nil {
		return err
	}
	if _, err := d.expect(ctx, headers, fresh, http.StatusTooManyRequests, relay.QuotaExceeded); err != nil {
		return err
	}
	d.next("The limit is lifted, and the refused request is sent again, unchanged: a refusal burns no nonce.")
	if err := d.operator(ctx, http.MethodPatch, "/"+d.account, `{"limits":{"perDay":0}}`, nil); err != nil {
		return err
	}
	if _, err := d.expect(ctx, headers, fresh, http.StatusAccepted, ""); err != nil {
		return err
	}
	d.say("   202 Accepted")
	return nil
}

// send makes a request as somebody's own script would: headers and body as they are.
func (d *demo) send(ctx context.Context, headers http.Header, body []byte) (*demoAnswer, error) {
	return demoCall(ctx, http.MethodPost, d.relay+"/api/links/fetch", headers, body)
}

// expect sends a request and shows the answer, which must have the status and,
// for a refusal, the code.
func (d *demo) expect(ctx context.Context, headers http.Header, body []byte, status int, code relay.Code) (job relay.Job, err error) {
	a, err := d.send(ctx, headers, body)
	if err != nil {
		return job, err
	}
	var problem relay.Error
	if err := errors.Join(json.Unmarshal(a.body, &job), json.Unmarshal(a.body, &problem)); err != nil {
		return job, err
	}
	if a.StatusCode != status || problem.Code != code {
		return job, fmt.Errorf("got %s, want %d %s: %s", a.Status, status, code, a.body)
	}
	if code != "" {
		d.say("   %s, %s: %s.", a.Status, problem.Code, problem.Detail)
	}
	return job, nil
}

// operator calls the admin API and reads its answer into out, if there is one.
func (d *demo) operator(ctx context.Context, method, path, body string, out any) error {
	a, err := demoCall(ctx, method, d.admin+"/api/admin/accounts"+path, http.Header{"Authorization": {"Bearer " + d.token}}, []byte(body))
	if err != nil {
		return err
	}
	if a.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, a.Status, a.body)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(a.body, out)
}

type demoAnswer struct {
	*http.Response
	body []byte
}

func demoCall(ctx context.Context, method, url string, headers http.Header, body []byte) (*demoAnswer, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = headers.Clone()
	r.Header.Set("Content-Type", "application/json")
	a, err := adminHTTP().Do(r)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(io.LimitReader(a.Body, maxAdminAnswer))
	return &demoAnswer{a, text}, err
}

func fetchBody(key, url string) []byte {
	text, _ := json.Marshal(map[string]string{"idempotencyKey": key, "trackingUrl": url, "source": "demo", "rowId": "row-" + key}) // texts always encode
	return text
}

func indentHeaders(h http.Header) string {
	var b strings.Builder
	for _, name := range []string{signature.HeaderKey, signature.HeaderTimestamp, signature.HeaderNonce, signature.HeaderSignature} {
		fmt.Fprintf(&b, "     %s: %s\n", name, h.Get(name))
	}
	return b.String()
}

//go:embed demo_commands.txt
var demoCommands string

// commands prints what to paste, for this key.
func (d *demo) commands(site string) error {
	d.next("Now you, with this demo's key. Paste into another terminal:")
	return template.Must(template.New("").Parse(demoCommands)).Execute(d.out, map[string]string{
		"Relay": d.relay, "Site": site, "Key": d.signer.KeyID, "Secret": d.signer.Secret, "Admin": d.admin, "Token": d.token, "Account": d.account,
	})
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func (d *demo) next(format string, args ...any) {
	d.step++
	d.say("\n%2d. "+format, append([]any{d.step}, args...)...)
}

// startSite serves a chain of redirects of every kind until ctx ends.
func startSite(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.Handle("/click", http.RedirectHandler("/tracker?hop=2", http.StatusFound))
	mux.Handle("/tracker", http.RedirectHandler("/consent", http.StatusMovedPermanently))
	mux.HandleFunc("/consent", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><meta http-equiv="refresh" content="0; url=/offer/42"><p>One moment …`)
	})
	mux.HandleFunc("/offer/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "The page that the link leads to.") })
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.Serve(l) }() // ends with Close
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return "http://" + l.Addr().String(), nil
}
