package handler

import (
	"context"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"
	"time"

	"linkrelay/relay"
	"linkrelay/signature"
)

// adminStore is what operators ask of the store.
type adminStore interface {
	CreateAccount(ctx context.Context, id string, change relay.AccountChange) (relay.Account, error)
	Account(ctx context.Context, id string) (relay.Account, error)
	ChangeAccount(ctx context.Context, id string, change relay.AccountChange) (relay.Account, error)
	// CreateLinkCode takes the code as signature.NormalizeLinkCode has it.
	CreateLinkCode(ctx context.Context, account, code string, ttl time.Duration) (relay.LinkCode, error)
	DeadLetters(ctx context.Context, account, cursor string, limit int) (relay.Page[relay.DeadLetter], error)
	Redrive(ctx context.Context, account, jobID string) (relay.Job, error)
	DropDeadLetter(ctx context.Context, account, jobID string) error
	Queue(ctx context.Context, account string) (relay.QueueStatus, error)
	Keys(ctx context.Context, account string) (relay.KeyInventory, error)
	Devices(ctx context.Context, account string) ([]relay.Device, error)
	Events(ctx context.Context, account, cursor string, limit int) (relay.Page[relay.Event], error)
}

// createAccount is POST /api/admin/accounts.
func (h *Handler) createAccount(c *call) error {
	id := relay.NewAccountID()
	change, err := h.accountChange(c, &id)
	if err != nil {
		return err
	}
	c.caller.Account = id // for the log
	account, err := h.store.CreateAccount(c.ctx(), id, change)
	if err != nil {
		return err
	}
	c.g.Writer.Header()["Location"] = []string{"/api/admin/accounts/" + account.ID}
	return c.reply(http.StatusCreated, &account)
}

// changeAccount is PATCH /api/admin/accounts/{id}. A membership that is sent
// replaces the old one whole.
func (h *Handler) changeAccount(c *call) error {
	change, err := h.accountChange(c, nil)
	if err != nil {
		return err
	}
	return show(c, func(account string) (relay.Account, error) {
		return h.store.ChangeAccount(c.ctx(), account, change)
	})
}

// accountChange reads the members an account may be created or changed with;
// accountId only where id is not nil.
func (h *Handler) accountChange(c *call, id *string) (change relay.AccountChange, err error) {
	var m relay.Membership
	var member bool
	fields := []field{
		{"plan", &change.Plan},
		{"membership", nested{[]field{{"state", (*string)(&m.State)}, {"endsAt", &m.EndsAt}}, &member}},
		{"limits", nested{fields: limitFields(&change.Overrides)}},
	}
	if id != nil {
		fields = append(fields, field{"accountId", id})
	}
	if err := c.readJSON(fields); err != nil {
		return change, err
	}
	if id != nil && !relay.ValidAccountID(*id) {
		c.faultOnce("/accountId", "must be 1 to 40 of A-Z a-z 0-9 _ -, beginning with a letter or digit")
	}
	if change.Plan != nil && !h.Plans(*change.Plan) {
		c.faultOnce("/plan", "is not the name of a plan")
	}
	if member {
		change.Membership = &m
		switch m.State {
		case relay.MembershipActive, relay.MembershipPastDue, relay.MembershipCancelled:
		default:
			c.faultOnce("/membership/state", "must be active, past_due or cancelled")
		}
	}
	for i, v := range change.Overrides.Values() {
		if *v != nil && (**v < relay.PlanLimit || **v > relay.MaxLimit) {
			c.fault("/limits/"+relay.LimitNames[i], "must be between 0 (no limit) and "+strconv.Itoa(relay.MaxLimit)+", or -1 for the plan's")
		}
	}
	return change, c.valid()
}

func limitFields(o *relay.LimitOverrides) []field {
	fields := make([]field, 0, len(relay.LimitNames))
	for i, v := range o.Values() {
		fields = append(fields, field{relay.LimitNames[i], v})
	}
	return fields
}

// pathAccount returns the account id of the path. What cannot be one is not
// looked for.
func (c *call) pathAccount() (string, error) {
	account := c.g.Param("account")
	if !relay.ValidAccountID(account) {
		return "", relay.NewError(relay.NotFound, "no such account")
	}
	c.caller.Account = account // for the log
	return account, nil
}

// show answers with what get reads of the account in the path.
func show[T any](c *call, get func(account string) (T, error)) error {
	if err := c.valid(); err != nil {
		return err
	}
	account, err := c.pathAccount()
	if err != nil {
		return err
	}
	v, err := get(account)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, &v)
}

// account is GET /api/admin/accounts/{id}.
func (h *Handler) account(c *call) error {
	return show(c, func(account string) (relay.Account, error) { return h.store.Account(c.ctx(), account) })
}

// createLinkCode is POST /api/admin/accounts/{id}/link-codes. The code is shown
// this once; the store keeps only what it needs to recognise it.
func (h *Handler) createLinkCode(c *call) error {
	ttl := int64(relay.DefaultLinkCodeTTL / time.Second)
	if err := c.readJSON([]field{{"ttlSeconds", &ttl}}); err != nil {
		return err
	}
	life := secondsWithin(ttl, relay.MaxLinkCodeTTL)
	if life < relay.MinLinkCodeTTL || life > relay.MaxLinkCodeTTL {
		c.fault("/ttlSeconds", "must be between 60 and 86400")
	}
	if err := c.valid(); err != nil {
		return err
	}
	account, err := c.pathAccount()
	if err != nil {
		return err
	}
	code := signature.NewLinkCode()
	made, err := h.store.CreateLinkCode(c.ctx(), account, signature.NormalizeLinkCode(code), life)
	if err != nil {
		return err
	}
	made.Code = code // as people type it
	return c.reply(http.StatusCreated, &made)
}

// deadLetters is GET /api/admin/accounts/{id}/jobs?state=dead.
func (h *Handler) deadLetters(c *call) error {
	cursor, limit := c.page()
	if c.query.Get("state") != string(relay.Dead) {
		c.fault("/query/state", "must be dead")
	}
	return show(c, func(account string) (relay.Page[relay.DeadLetter], error) {
		return listed(h.store.DeadLetters(c.ctx(), account, cursor, limit))
	})
}

// listed makes an empty page an empty array.
func listed[T any](p relay.Page[T], err error) (relay.Page[T], error) {
	if p.Items == nil {
		p.Items = []T{}
	}
	return p, err
}

// redrive is POST /api/admin/accounts/{id}/jobs/{jobId}/redrive.
func (h *Handler) redrive(c *call) error {
	if err := c.readJSON(nil); err != nil {
		return err
	}
	return show(c, func(account string) (relay.Job, error) {
		id, err := c.pathJob()
		if err != nil {
			return relay.Job{}, err
		}
		return h.store.Redrive(c.ctx(), account, id)
	})
}

// dropDeadLetter is DELETE /api/admin/accounts/{id}/jobs/{jobId}.
func (h *Handler) dropDeadLetter(c *call) error {
	if err := c.valid(); err != nil {
		return err
	}
	account, err := c.pathAccount()
	if err != nil {
		return err
	}
	id, err := c.pathJob()
	if err != nil {
		return err
	}
	if err := h.store.DropDeadLetter(c.ctx(), account, id); err != nil {
		return err
	}
	c.g.Writer.WriteHeader(http.StatusNoContent)
	return nil
}

// queue is GET /api/admin/accounts/{id}/queue.
func (h *Handler) queue(c *call) error {
	return show(c, func(account string) (relay.QueueStatus, error) { return h.store.Queue(c.ctx(), account) })
}

// accountKeys is GET /api/admin/accounts/{id}/keys.
func (h *Handler) accountKeys(c *call) error {
	return show(c, func(account string) (relay.KeyInventory, error) {
		inventory, err := h.store.Keys(c.ctx(), account)
		if inventory.Keys == nil {
			inventory.Keys = []relay.Key{}
		}
		return inventory, err
	})
}

type deviceList struct {
	Devices []relay.Device `json:"devices"`
}

// devices is GET /api/admin/accounts/{id}/devices.
func (h *Handler) devices(c *call) error {
	return show(c, func(account string) (deviceList, error) {
		devices, err := h.store.Devices(c.ctx(), account)
		if devices == nil {
			devices = []relay.Device{}
		}
		return deviceList{devices}, err
	})
}

// events is GET /api/admin/accounts/{id}/events.
func (h *Handler) events(c *call) error {
	cursor, limit := c.page()
	return show(c, func(account string) (relay.Page[relay.Event], error) {
		return listed(h.store.Events(c.ctx(), account, cursor, limit))
	})
}

// profile is GET /debug/pprof/…. The command line is left out: it is nobody's
// profile, and may hold what an operator typed.
func (h *Handler) profile(c *call) error {
	w, r := c.g.Writer, c.g.Request
	switch strings.TrimPrefix(c.g.Param("profile"), "/") {
	case "cmdline":
		return relay.NewError(relay.NotFound, "the command line is not shown")
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r)
	}
	return nil
}
