package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"time"

	"linkrelay/client"
	"linkrelay/relay"
)

// exampleRelay answers as a relay with one quick desktop would.
func exampleRelay() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var in struct{ IdempotencyKey, RowID string }
		_ = json.Unmarshal(body, &in)
		job := relay.Job{ID: "job_1", State: relay.Queued, IdempotencyKey: in.IdempotencyKey, RowID: in.RowID}
		switch {
		case r.URL.Path == "/api/links/verify":
			_, _ = fmt.Fprintf(w, `{"ok":true,"scheme":"link-peeler","version":"v2","key":%q,"secretGeneration":2,"wouldCreate":true}`, apiKey)
			return
		case in.RowID == "over":
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = w.Write([]byte(`{"code":"quota_exceeded","windows":["day"],"retryable":true}`))
			return
		case r.Method == http.MethodGet:
			job.State, job.Result = relay.Succeeded, []byte(`{"finalUrl":"https://shop.example/shoes"}`)
		}
		_ = json.NewEncoder(w).Encode(job)
	}))
}

func ExamplePlatform_Submit() {
	srv := exampleRelay()
	defer srv.Close()

	p, err := client.NewPlatform(client.Options{BaseURL: srv.URL, KeyID: apiKey, Secret: secret})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()

	s, err := p.Submit(context.Background(), relay.JobRequest{
		IdempotencyKey: "newsletter-42", // the same key never makes a second job
		TrackingURL:    "https://t.example/c/abc",
		Source:         "newsletter",
		RowID:          "42",
	})
	fmt.Println(s.Job.ID, s.Job.State, s.Job.IdempotencyKey, err)
	// Output: job_1 queued newsletter-42 <nil>
}

func ExamplePlatform_SubmitAndWait() {
	srv := exampleRelay()
	defer srv.Close()

	p, _ := client.NewPlatform(client.Options{BaseURL: srv.URL, KeyID: apiKey, Secret: secret})
	defer p.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	job, err := p.SubmitAndWait(ctx, relay.JobRequest{TrackingURL: "https://t.example/c/abc", Source: "newsletter", RowID: "42"})
	fmt.Println(job.State, string(job.Result), err)
	// Output: succeeded {"finalUrl":"https://shop.example/shoes"} <nil>
}

// Refusals carry a stable code.
func ExamplePlatform_Submit_refused() {
	srv := exampleRelay()
	defer srv.Close()

	p, _ := client.NewPlatform(client.Options{BaseURL: srv.URL, KeyID: apiKey, Secret: secret})
	defer p.Close()

	_, err := p.Submit(context.Background(), relay.JobRequest{TrackingURL: "https://t.example/c/abc", Source: "newsletter", RowID: "over"})
	if e, ok := errors.AsType[*relay.Error](err); ok && e.Code == relay.QuotaExceeded {
		fmt.Println("used up:", e.Windows, "for another", e.RetryAfter)
	}
	// Output: used up: [day] for another 1h0m0s
}

// A new secret is tried out before anything depends on it.
func ExamplePlatform_Verify() {
	srv := exampleRelay()
	defer srv.Close()

	p, _ := client.NewPlatform(client.Options{BaseURL: srv.URL, KeyID: apiKey, Secret: secret})
	defer p.Close()

	v, err := p.Verify(context.Background(), relay.JobRequest{TrackingURL: "https://t.example/c/abc", Source: "newsletter", RowID: "42"})
	if e, ok := errors.AsType[*relay.Error](err); ok && e.Diagnosis != "" {
		fmt.Println("signed wrongly:", e.Diagnosis)
	}
	fmt.Println("secret", v.SecretGeneration, "works, would make a job:", v.WouldCreate)
	// Output: secret 2 works, would make a job: true
}

// A key gets another secret while programs still use the one it has.
func ExampleDesktop_RotateKey() {
	d, err := client.NewDesktop(client.Options{
		BaseURL: "https://relay.example",
		KeyID:   os.Getenv("DEVICE_KEY"),
		Secret:  os.Getenv("DEVICE_SECRET"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	made, err := d.RotateKey(context.Background(), os.Getenv("API_KEY"), 24*time.Hour)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = os.WriteFile("secret", []byte(made.Secret), 0o600) // shown this once
	for _, s := range made.Secrets {
		fmt.Println("secret", s.Generation, "valid until", s.ValidUntil, "last used", s.LastUsedAt)
	}
}

func ExampleDesktop_Run() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	d, err := client.NewDesktop(client.Options{
		BaseURL: "https://relay.example",
		KeyID:   os.Getenv("DEVICE_KEY"),
		Secret:  os.Getenv("DEVICE_SECRET"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	web := &http.Client{Timeout: 30 * time.Second}
	err = d.Run(ctx, func(ctx context.Context, job relay.Delivery) (json.RawMessage, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodHead, job.TrackingURL, nil)
		if err != nil {
			return nil, client.Permanent(err) // no retry mends a bad URL
		}
		resp, err := web.Do(r)
		if err != nil {
			return nil, err // the relay tries again later
		}
		resp.Body.Close()
		return json.Marshal(map[string]string{"finalUrl": resp.Request.URL.String()})
	})
	fmt.Println(err)
}
