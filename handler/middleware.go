package handler

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"linkrelay/relay"
)

// serve is the one gin handler: it runs a route's chain and sees to it that
// every request ends in one answer and one log line.
func (h *Handler) serve(r *route) gin.HandlerFunc {
	steps := h.chain(r)
	return func(g *gin.Context) {
		c := h.begin(g, r)
		defer h.finish(c)
		for _, step := range steps {
			if err := step(c); err != nil {
				h.refuse(c, err)
				return
			}
		}
	}
}

// finish recovers from a panic, logs the request and returns its memory.
// gin.Recovery is not used: it prints request headers, signatures included.
func (h *Handler) finish(c *call) {
	abort := false
	if v := recover(); v != nil {
		abort = h.recovered(c, v)
	}
	h.logRequest(c)
	c.end()
	if abort {
		panic(http.ErrAbortHandler) // net/http closes the connection and says nothing
	}
}

// recovered turns a panic into a 500. It reports whether the connection must
// be cut because an answer was already under way. Of the value only its type
// is logged, unless the runtime made it: anything else may hold what a caller
// sent. A stack trace holds no values.
func (h *Handler) recovered(c *call, v any) (abort bool) {
	if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
		what := fmt.Sprintf("%T", v)
		if err, ok := v.(runtime.Error); ok {
			what = err.Error()
		}
		h.log.Error("panic", zap.String("request", c.id), zap.String("route", c.route.path),
			zap.String("panic", what), zap.ByteString("stack", debug.Stack()))
	}
	if c.g.Writer.Written() {
		c.code = relay.InternalError
		return true
	}
	h.refuse(c, relay.NewError(relay.InternalError, internalText))
	return false
}

// clientGone is logged, never sent: there is nobody to send it to.
const clientGone relay.Code = "client_gone"

// refuse renders an error and remembers it for the log.
func (h *Handler) refuse(c *call, err error) {
	if c.g.Writer.Written() {
		c.cause = err
		return
	}
	e, ok := errors.AsType[*relay.Error](err)
	switch {
	case ok:
		c.cause = e.Unwrap()
	case errors.Is(err, context.Canceled) && c.ctx().Err() != nil && h.isDraining():
		e = relay.NewError(relay.Draining, "the replica's time was over before the request's")
	case errors.Is(err, context.Canceled) && c.ctx().Err() != nil:
		c.code = clientGone
		c.g.Writer.WriteHeader(statusClientGone)
		return
	default:
		c.cause = err
		e = relay.NewError(relay.InternalError, internalText)
	}
	c.code = e.Code
	if e.JobID != "" {
		c.jobID = e.JobID
	}
	c.problem(e)
}

// statusClientGone is nginx's status for the log line of a client that left.
const statusClientGone = 499

// logRequest writes the access log: one line of values the relay made or
// checked itself. The raw path and query are left out, and of a key only the
// public id's beginning is shown.
func (h *Handler) logRequest(c *call) {
	status := c.g.Writer.Status()
	level := zapcore.InfoLevel
	switch {
	case status >= http.StatusInternalServerError:
		level = zapcore.ErrorLevel
	case status >= http.StatusBadRequest:
		level = zapcore.WarnLevel
	case c.route.auth == anyone: // probes
		level = zapcore.DebugLevel
	}
	entry := h.log.Check(level, "request")
	if entry == nil {
		return
	}
	fields := [...]zapcore.Field{
		zap.String("request", c.id),
		zap.String("method", c.route.method),
		zap.String("route", c.route.path),
		zap.Int("status", status),
		text("code", string(c.code)),
		zap.Float64("ms", float64(time.Since(c.at).Microseconds())/1000),
		text("account", c.caller.Account),
		text("key", c.keyPrefix),
		text("job", c.jobID),
		zap.Stringer("ip", c.ip),
		zap.Int("bytes", max(c.g.Writer.Size(), 0)),
		cause(c.cause),
	}
	entry.Write(fields[:]...)
}

func text(name, value string) zapcore.Field {
	if value == "" {
		return zap.Skip()
	}
	return zap.String(name, value)
}

func cause(err error) zapcore.Field {
	if err == nil {
		return zap.Skip()
	}
	return zap.String("cause", err.Error())
}
