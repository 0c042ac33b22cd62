package embedded_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"linkrelay/internal/embedded"
)

// The embedded store answers the relay that started it and nobody else.
func TestOnlyWithItsPassword(t *testing.T) {
	s, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	o, err := redis.ParseURL(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	own := redis.NewClient(o)
	defer func() { _ = own.Close() }()
	if err := own.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Error(err)
	}
	for _, password := range []string{"", "wrong"} {
		other := redis.NewClient(&redis.Options{Addr: o.Addr, Password: password, MaxRetries: -1})
		if v, err := other.Get(t.Context(), "k").Result(); err == nil {
			t.Errorf("with password %q it answers %q", password, v)
		}
		_ = other.Close()
	}
}
