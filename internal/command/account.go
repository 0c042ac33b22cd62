package command

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"linkrelay/relay"
)

func newAccountCommand() *cobra.Command {
	return newOperatorGroup("account", "Create, change and look at accounts",
		newAccountCreateCommand, newAccountShowCommand, newAccountUpdateCommand,
		newAccountLinkCodeCommand, newAccountQueueCommand, newAccountEventsCommand)
}

func newAccountCreateCommand(op *operator) *cobra.Command {
	var change accountFlags
	var id string
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create an account",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, err := change.body(cmd)
			if err != nil {
				return err
			}
			body.AccountID = id
			return run(cmd, op, call{method: http.MethodPost, body: body}, printAccount)
		},
	}
	cmd.Flags().StringVar(&id, "id", "", "id of the account, 1 to 40 of [A-Za-z0-9_-] (default a random one)")
	change.register(cmd)
	return cmd
}

func newAccountUpdateCommand(op *operator) *cobra.Command {
	var change accountFlags
	cmd := &cobra.Command{
		Use:   "update ACCOUNT",
		Short: "Change what the flags name; the rest stays",
		Args:  accountArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := change.body(cmd)
			if err != nil {
				return err
			}
			if body == (accountBody{}) {
				return usageError{errors.New("there is nothing to change: give a flag such as --plan")}
			}
			return run(cmd, op, call{method: http.MethodPatch, path: args, body: body}, printAccount)
		},
	}
	change.register(cmd)
	return cmd
}

func newAccountShowCommand(op *operator) *cobra.Command {
	return &cobra.Command{
		Use:   "show ACCOUNT",
		Short: "Show an account's plan, membership and limits",
		Args:  accountArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(cmd, op, call{method: http.MethodGet, path: args}, printAccount)
		},
	}
}

func newAccountLinkCodeCommand(op *operator) *cobra.Command {
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "link-code ACCOUNT",
		Short: "Make a code that links one desktop to an account",
		Args:  accountArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			if ttl < relay.MinLinkCodeTTL || ttl > relay.MaxLinkCodeTTL {
				return usageError{fmt.Errorf("--ttl must be between %v and %v", relay.MinLinkCodeTTL, relay.MaxLinkCodeTTL)}
			}
			body := struct {
				TTLSeconds int64 `json:"ttlSeconds"`
			}{int64(ttl / time.Second)}
			return run(cmd, op, call{method: http.MethodPost, path: []string{args[0], "link-codes"}, body: body}, func(t table, c relay.LinkCode) {
				t.row("code", c.Code)
				t.row("expires", c.ExpiresAt)
			})
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", relay.DefaultLinkCodeTTL, "how long the code can be used")
	return cmd
}

func newAccountQueueCommand(op *operator) *cobra.Command {
	return &cobra.Command{
		Use:   "queue ACCOUNT",
		Short: "Show how much work waits, runs and died",
		Args:  accountArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(cmd, op, call{method: http.MethodGet, path: []string{args[0], "queue"}}, func(t table, q relay.QueueStatus) {
				t.row("waiting", q.Waiting)
				t.row("running", q.Running)
				t.row("waiting at most", limitText(q.Limit))
				t.row("oldest waits", time.Duration(q.OldestWaitingSeconds)*time.Second)
				t.row("dead letters", q.DeadLetters)
			})
		},
	}
}

func newAccountEventsCommand(op *operator) *cobra.Command {
	var page pageFlags
	cmd := &cobra.Command{
		Use:   "events ACCOUNT",
		Short: "Show an account's audit trail",
		Args:  accountArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			c := call{method: http.MethodGet, path: []string{args[0], "events"}, query: page.query()}
			return run(cmd, op, c, func(t table, p relay.Page[relay.Event]) {
				t.row("AT", "KIND", "ACTOR", "ABOUT")
				for _, e := range p.Items {
					t.row(e.At, e.Kind, e.Actor, aboutText(e.About))
				}
				page.more(cmd, p.Next)
			})
		},
	}
	page.register(cmd)
	return cmd
}

// accountBody is what creates or changes an account (CONTRACT §6).
type accountBody struct {
	AccountID  string               `json:"accountId,omitempty"`
	Plan       string               `json:"plan,omitempty"`
	Membership *relay.Membership    `json:"membership,omitempty"`
	Limits     relay.LimitOverrides `json:"limits,omitzero"`
}

// accountFlags are the flags behind an accountBody.
type accountFlags struct{ plan, membership, endsAt string }

func (f *accountFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.plan, "plan", "", "name of the plan")
	cmd.Flags().StringVar(&f.membership, "membership", "", "active, past_due or cancelled")
	cmd.Flags().StringVar(&f.endsAt, "ends-at", "", "when the membership ends, as 2026-12-31T23:59:59Z (default never); needs --membership")
	for _, name := range relay.LimitNames {
		cmd.Flags().Int64(kebab(name), 0, "override the plan's "+name+"; 0 lifts the limit, -1 goes back to the plan's")
	}
}

func (f *accountFlags) body(cmd *cobra.Command) (accountBody, error) {
	body := accountBody{Plan: f.plan}
	if f.membership != "" {
		body.Membership = &relay.Membership{State: relay.MembershipState(f.membership)}
	}
	if f.endsAt != "" {
		at, err := time.Parse(time.RFC3339, f.endsAt)
		if err != nil {
			return body, usageError{errors.New("--ends-at must be a time such as 2026-12-31T23:59:59Z")}
		}
		if body.Membership == nil {
			return body, usageError{errors.New("--ends-at needs --membership: the two are set together")}
		}
		body.Membership.EndsAt = &at
	}
	for i, limit := range body.Limits.Values() {
		name := kebab(relay.LimitNames[i])
		if !cmd.Flags().Changed(name) {
			continue
		}
		n, err := cmd.Flags().GetInt64(name)
		if err != nil {
			return body, err
		}
		if n < 0 {
			return body, usageError{fmt.Errorf("--%s must be 0 or more", name)}
		}
		*limit = &n
	}
	return body, nil
}

// kebab turns perMinute into per-minute.
func kebab(camel string) string {
	var b strings.Builder
	for _, r := range camel {
		if unicode.IsUpper(r) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func printAccount(t table, a relay.Account) {
	t.row("account", a.ID)
	t.row("plan", a.Plan)
	t.row("membership", a.Membership.State)
	t.row("ends", a.Membership.EndsAt)
	overrides := a.Overrides.Values()
	for i, limit := range a.Effective.Values() {
		source := "plan"
		if *overrides[i] != nil {
			source = "override"
		}
		t.row(relay.LimitNames[i], limitText(*limit), source)
	}
	t.row("created", a.CreatedAt)
}

func limitText(n int64) string {
	if n == 0 {
		return "unlimited"
	}
	return strconv.FormatInt(n, 10)
}

func aboutText(about map[string]string) string {
	parts := make([]string, 0, len(about))
	for name, value := range about {
		parts = append(parts, name+"="+value)
	}
	slices.SortFunc(parts, cmp.Compare)
	return strings.Join(parts, " ")
}

// accountArgument wants one account id.
func accountArgument(cmd *cobra.Command, args []string) error {
	if err := exactly("ACCOUNT")(cmd, args); err != nil {
		return err
	}
	return checkAccount(args[0])
}

func checkAccount(id string) error {
	if !relay.ValidAccountID(id) {
		return usageError{errors.New("ACCOUNT must be 1 to 40 of [A-Za-z0-9_-] and start with a letter or digit")}
	}
	return nil
}

// pageFlags choose a part of a listing.
type pageFlags struct {
	limit  int
	cursor string
}

func (f *pageFlags) register(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.limit, "limit", 50, "how many to show at most")
	cmd.Flags().StringVar(&f.cursor, "cursor", "", "where to go on, as the part before said")
}

func (f *pageFlags) query() url.Values {
	q := url.Values{"limit": {strconv.Itoa(f.limit)}}
	if f.cursor != "" {
		q.Set("cursor", f.cursor)
	}
	return q
}

// more says how to read on: beside the table, so that stdout stays a table.
func (f *pageFlags) more(cmd *cobra.Command, next string) {
	if next != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "there is more: --cursor %s\n", printable(next))
	}
}
