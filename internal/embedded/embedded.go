// Package embedded is an in-process Redis for the demo, for development and for
// tests: the same scripts on the same code path, without persistence. What it
// holds ends with the process.
package embedded

import (
	"fmt"

	"github.com/alicebob/miniredis/v2"
)

// Server is a running in-process Redis, reachable on loopback only.
type Server struct{ m *miniredis.Miniredis }

// Start runs one on a free port.
func Start() (*Server, error) {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true) // or nothing would ever expire
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("embedded: %w", err)
	}
	return &Server{m}, nil
}

// URL is its address as RELAY_REDIS_URL takes it.
func (s *Server) URL() string { return "redis://" + s.m.Addr() }

// Close ends it and what it holds.
func (s *Server) Close() { s.m.Close() }
