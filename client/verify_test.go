package client_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"linkrelay/client"
	"linkrelay/relay"
)

// Verify sends what Submit sends, to the place where it has no effect.
func TestVerify(t *testing.T) {
	srv, j := serve(t, func(n int, w http.ResponseWriter, r request) {
		w.Header().Set("RateLimit-Policy", `"day";q=1000;w=86400`)
		w.Header().Set("RateLimit", `"day";r=990;t=3600`)
		said := map[string]any{"ok": true, "scheme": "link-peeler", "version": "v2", "key": apiKey, "secretGeneration": 2, "wouldCreate": n == 1}
		if n > 1 {
			said["job"] = relay.Job{ID: "job_1", State: relay.Running, IdempotencyKey: r.member("idempotencyKey")}
		}
		answer(w, http.StatusOK, said)
	})
	p := newPlatform(t, srv.URL)
	windows := []relay.Window{{Name: "day", Limit: 1000, Used: 10, Remaining: 990, Reset: time.Hour, ResetSecs: 3600, Length: 24 * time.Hour}}
	want := client.Verified{Scheme: relay.SchemeLinkPeeler, Version: "v2", KeyID: apiKey, SecretGeneration: 2, WouldCreate: true, RateLimit: windows}
	got, err := p.Verify(t.Context(), fetch)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Verify: %v\n%s", err, diff)
	}

	known := fetch
	known.IdempotencyKey, known.Expiry = "k-1", time.Minute
	got, err = p.Verify(t.Context(), known)
	if err != nil || got.WouldCreate || got.Job == nil || got.Job.ID != "job_1" || got.Job.IdempotencyKey != "k-1" {
		t.Errorf("Verify = %+v, %v", got, err)
	}

	all := j.requests()
	if all[0].Method+all[0].Target != "POST/api/links/verify" || len(all[0].member("idempotencyKey")) < 20 {
		t.Errorf("asked %s %s %s", all[0].Method, all[0].Target, all[0].Body)
	}
	const body = `{"idempotencyKey":"k-1","trackingUrl":"https://t.example/c?a=1&b=<x>","source":"mail","rowId":"42","expiresInSeconds":60}`
	if string(all[1].Body) != body {
		t.Errorf("body %s", all[1].Body)
	}
}

// What the relay found out about a wrong signature reaches the caller.
func TestDiagnosis(t *testing.T) {
	const sentence = "the body was changed after it was signed"
	srv, _ := serve(t, func(_ int, w http.ResponseWriter, _ request) {
		problem(w, http.StatusUnauthorized, `{"code":"signature_invalid","diagnosis":"`+sentence+`"}`)
	})
	_, err := newPlatform(t, srv.URL).Verify(t.Context(), fetch)
	var e *relay.Error
	if !errors.As(err, &e) || e.Code != relay.SignatureInvalid || e.Diagnosis != sentence {
		t.Errorf("error %#v", err)
	}
}

// A refusal tells where the windows stand.
func TestVerifyRefused(t *testing.T) {
	srv, _ := serve(t, func(_ int, w http.ResponseWriter, _ request) {
		w.Header().Set("RateLimit-Policy", `"day";q=1;w=86400`)
		w.Header().Set("RateLimit", `"day";r=0;t=60`)
		refuse(w, relay.QuotaExceeded, 60)
	})
	got, err := newPlatform(t, srv.URL).Verify(t.Context(), fetch)
	if relay.CodeOf(err) != relay.QuotaExceeded || got.WouldCreate || len(got.RateLimit) != 1 || got.RateLimit[0].Remaining != 0 {
		t.Errorf("Verify = %+v, %v", got, err)
	}
}
