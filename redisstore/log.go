package redisstore

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// clientLog takes what the Redis client says by itself: reconnects, failed
// dials. The client has one logger for the whole process, so the store opened
// last gets its lines.
type clientLog struct{ to atomic.Pointer[zap.Logger] }

var redisLog = func() *clientLog {
	l := new(clientLog)
	l.to.Store(zap.NewNop())
	redis.SetLogger(l)
	return l
}()

// Printf implements the client's logger. Its lines hold addresses and errors,
// never commands.
func (l *clientLog) Printf(_ context.Context, format string, v ...any) {
	l.to.Load().Warn("redis client", zap.String("says", fmt.Sprintf(format, v...)))
}
