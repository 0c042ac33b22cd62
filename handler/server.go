package handler

import (
	"net/http"
	"time"

	"go.uber.org/zap"

	"linkrelay/relay"
)

const (
	headerTimeout = 10 * time.Second // for all headers to arrive
	idleTimeout   = 2 * time.Minute  // longer than a load balancer keeps its idle connections
)

// Server returns an HTTP/1.1 server for a Handler's listener. There is no
// ReadTimeout and no WriteTimeout, because either would end streams and long
// polls; the Handler sets a deadline of its own for each body, answer and frame.
func Server(h http.Handler, log *zap.Logger) *http.Server {
	errors, err := zap.NewStdLogAt(log.Named("http"), zap.WarnLevel)
	if err != nil {
		panic(err) // only for a level that does not exist
	}
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    2 * relay.MaxHeaderBytes, // beyond this the 431 is net/http's plain text
		ErrorLog:          errors,
	}
}
