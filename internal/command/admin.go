package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"linkrelay/config"
	"linkrelay/relay"
)

// Bounds of one call to the admin API.
const (
	adminTimeout   = 15 * time.Second
	maxAdminAnswer = 8 << 20 // bytes; a page of dead letters or events is far below
)

// operator holds the flags that every operator command has. The token is no
// flag: command lines show in process lists and shell histories.
type operator struct {
	adminURL string
	asJSON   bool
}

// newOperatorGroup returns a group of commands that talk to the admin API.
func newOperatorGroup(use, short string, subcommands ...func(*operator) *cobra.Command) *cobra.Command {
	op := &operator{}
	group := newGroup(use, short)
	group.Long = short + ".\n\nTalks to the operators' listener of a running relay with the token in RELAY_ADMIN_TOKEN."
	group.PersistentFlags().StringVar(&op.adminURL, "admin-url", "", "address of the operators' listener (default RELAY_ADMIN_URL, or http://127.0.0.1:9090)")
	group.PersistentFlags().BoolVar(&op.asJSON, "json", false, "print the answer as JSON")
	for _, newCommand := range subcommands {
		group.AddCommand(newCommand(op))
	}
	return group
}

// call is one request to the admin API.
type call struct {
	method string
	path   []string // below /api/admin/accounts
	query  url.Values
	body   any // nil for none
}

// run makes the call and prints its answer: as it came with --json, through
// print otherwise.
func run[T any](cmd *cobra.Command, op *operator, c call, print func(table, T)) error {
	answer, err := op.do(cmd.Context(), c)
	if err != nil {
		return err
	}
	if op.asJSON {
		return printJSON(cmd.OutOrStdout(), answer)
	}
	var value T
	if len(answer) > 0 {
		if err := json.Unmarshal(answer, &value); err != nil {
			return fmt.Errorf("the answer is not the one of this call: is the relay of another version? (%w)", err)
		}
	}
	t := newTable(cmd.OutOrStdout())
	print(t, value)
	return t.flush()
}

func printJSON(w io.Writer, answer []byte) error {
	var indented bytes.Buffer
	if len(answer) == 0 {
		answer = []byte("{}") // 204: done, and nothing to say
	}
	if err := json.Indent(&indented, answer, "", "  "); err != nil {
		return fmt.Errorf("the answer is not JSON: %w", err)
	}
	indented.WriteByte('\n')
	_, err := indented.WriteTo(w)
	return err
}

// do makes the call and returns the body of a successful answer, or a
// *relay.Error, or an unavailableError.
func (op *operator) do(ctx context.Context, c call) ([]byte, error) {
	r, err := op.request(ctx, c)
	if err != nil {
		return nil, err
	}
	answer, err := adminHTTP().Do(r)
	if err != nil {
		return nil, unavailableError{fmt.Errorf("the relay does not answer at %s: %w", r.URL.Host, withoutURL(err))}
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAdminAnswer+1))
	switch {
	case err != nil:
		return nil, unavailableError{fmt.Errorf("the relay's answer broke off: %w", err)}
	case len(body) > maxAdminAnswer:
		return nil, fmt.Errorf("the answer is larger than %d bytes: ask for less with --limit", maxAdminAnswer)
	case answer.StatusCode >= 200 && answer.StatusCode < 300:
		return body, nil
	}
	return nil, refusal(answer, body)
}

// request builds the call for the relay that flag or environment names.
func (op *operator) request(ctx context.Context, c call) (*http.Request, error) {
	settings, err := config.LoadOperator()
	if err != nil {
		return nil, err
	}
	base := settings.AdminURL
	if op.adminURL != "" {
		base = op.adminURL
	}
	if !config.IsAdminURL(base) {
		return nil, usageError{errors.New("--admin-url must be an http or https address without user name, such as http://127.0.0.1:9090")}
	}
	if !settings.AdminToken.Set() {
		return nil, usageError{errors.New("RELAY_ADMIN_TOKEN is not set: export the token that the relay was started with")}
	}
	var body io.Reader
	if c.body != nil {
		text, err := json.Marshal(c.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	target := strings.TrimRight(base, "/") + "/api/admin/accounts"
	for _, segment := range c.path {
		target += "/" + url.PathEscape(segment)
	}
	if len(c.query) > 0 {
		target += "?" + c.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, c.method, target, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+settings.AdminToken.Reveal())
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, nil
}

// adminHTTP returns a client that never sends the token anywhere but to the
// address it was given: no proxy, no redirects.
func adminHTTP() *http.Client {
	return &http.Client{
		Timeout: adminTimeout,
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			DisableKeepAlives:      true, // one call and out
			MaxResponseHeaderBytes: relay.MaxHeaderBytes,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// refusal reads a problem document. Whatever else answers is not our API.
func refusal(answer *http.Response, body []byte) error {
	var problem relay.Error
	if err := json.Unmarshal(body, &problem); err != nil || problem.Code == "" {
		err := fmt.Errorf("HTTP %d without a problem document: this is not the operators' listener of a relay (see --admin-url)", answer.StatusCode)
		if answer.StatusCode == http.StatusBadGateway || answer.StatusCode == http.StatusServiceUnavailable || answer.StatusCode == http.StatusGatewayTimeout {
			return unavailableError{err}
		}
		return err
	}
	problem.Status = answer.StatusCode
	return &problem
}

// withoutURL drops what net/http puts before the reason, since the message
// already names the host.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
