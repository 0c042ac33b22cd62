package command

import (
	"context"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"linkrelay/config"
	"linkrelay/signature"
)

// Replica opens a surface's listeners on free ports. run serves until its
// context ends, as the serve command does.
func Replica(ctx context.Context, public http.Handler, drained func(), notice, drain time.Duration) (url string, run func(context.Context) error, err error) {
	c := &config.Config{Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", Drain: drain}
	r, err := newReplica(ctx, c, fakeSurface{public, drained}, zap.NewNop())
	if err != nil {
		return "", nil, err
	}
	r.notice = notice
	return "http://" + r.publicPort.Addr().String(), r.run, nil
}

type fakeSurface struct {
	public  http.Handler
	drained func()
}

func (s fakeSurface) Public() http.Handler { return s.public }
func (s fakeSurface) Admin() http.Handler  { return http.NotFoundHandler() }
func (s fakeSurface) Drain()               { s.drained() }

// RunDemo is the demo as on a terminal, when stay is true.
var RunDemo = runDemo

// Visible shows bytes as sign request --explain does.
var Visible = visible

// JoinedParts puts together the parts that sign request --explain names.
func JoinedParts(p signature.Proof, method, target string, body []byte, j signature.QueryJob) string {
	parts, separator := baseParts(p, message{method: method, target: target, body: body}, j)
	values := make([]string, len(parts))
	for i, part := range parts {
		values[i] = part.value
	}
	return strings.Join(values, separator)
}
