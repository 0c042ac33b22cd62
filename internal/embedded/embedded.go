// Package embedded is an in-process Redis for the demo, for development and for
// tests: the same scripts on the same code path, without persistence. What it
// holds ends with the process.
package embedded

import (
	"crypto/rand"
	"fmt"

	"github.com/alicebob/miniredis/v2"
)

// Server is a running in-process Redis. It is reachable on loopback only, and
// with its password: other users of the machine, and what their programs and web
// pages send to its ports, are not the relay.
type Server struct {
	m        *miniredis.Miniredis
	password string
}

// Start runs one on a free port.
func Start() (*Server, error) {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true) // or nothing would ever expire
	password := rand.Text()
	m.RequireAuth(password)
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("embedded: %w", err)
	}
	return &Server{m, password}, nil
}

// URL is its address and password as RELAY_REDIS_URL takes them.
func (s *Server) URL() string { return "redis://:" + s.password + "@" + s.m.Addr() }

// Close ends it and what it holds.
func (s *Server) Close() { s.m.Close() }
