// Package redistest runs real redis-servers for tests: on loopback, on a port
// of their own, with nothing left behind. A missing redis-server fails the
// test; it never skips.
package redistest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is one redis-server process.
type Server struct {
	Addr string
	args []string
	mu   sync.Mutex
	cmd  *exec.Cmd
}

// Start runs a redis-server without persistence; more arguments come last and
// override. It ends with the test.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s, err := Run(t.TempDir(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// Run is Start for programs that are no tests: dir is the server's working
// directory, and the caller kills it.
func Run(dir string, args ...string) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	s.args = append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning"}, args...)
	return s, s.Restart()
}

// freePort returns a port below those that systems give to connections and to
// listeners that ask for any: one of these would be taken by another socket
// sooner or later, between its choice and the start, or Kill and Restart.
func freePort() (int, error) {
	for range 100 {
		port := 12_000 + rand.IntN(18_000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, errors.New("redistest: no free port")
}

// URL is the server's address as RELAY_REDIS_URL takes it.
func (s *Server) URL() string { return "redis://" + s.Addr }

// Client returns a client of the server that ends with the test.
func (s *Server) Client(t testing.TB) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Restart starts the server, after Kill or for the first time, and waits until
// it answers.
func (s *Server) Restart() error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return errors.New("redis-server is not installed; the tests need it: apt-get install redis-server, or brew install redis")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cmd = exec.Command(path, s.args...)
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		return err
	}
	c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1})
	defer func() { _ = c.Close() }()
	for range 500 {
		err = c.Ping(context.Background()).Err()
		var reply redis.Error // such as NOAUTH: it answers
		if err == nil || errors.As(err, &reply) && !redis.HasErrorPrefix(err, "LOADING") {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
	return err
}

// Kill ends the server as a crash does.
func (s *Server) Kill() { s.signal(syscall.SIGKILL) }

// Pause stops the server without closing its connections; Resume lets it go on.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig)
	if sig == syscall.SIGKILL {
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}
