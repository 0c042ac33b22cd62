// Sends signed requests to linkrelay, with nothing but Go's standard library.
// It shows how that is done; Go programs have the SDK, linkrelay/client.
//
//	export LINKRELAY_URL=… LINKRELAY_KEY=lp_live_… LINKRELAY_SECRET=lps_…
//	go run . submit 'https://example.com/click?id=7' newsletter row-7
//	go run . wait job_…
//
// LINKRELAY_SCHEME says how to sign: link-peeler (the default), link-peeler-v1,
// iklim or signed-query. sign.go by itself is all that signing takes.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
)

const usage = `usage: submit|verify TRACKING_URL SOURCE ROW_ID [IDEMPOTENCY_KEY]
       wait|cancel JOB_ID
       find IDEMPOTENCY_KEY
       quota`

var schemes = []string{"link-peeler", "link-peeler-v1", "iklim", "signed-query"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var out bytes.Buffer
	answer, err := run(ctx, os.Args[1:])
	if err == nil {
		err = json.Indent(&out, answer, "", "  ")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, explain(err))
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, &out)
}

func run(ctx context.Context, args []string) (json.RawMessage, error) {
	p, err := fromEnvironment()
	if err != nil {
		return nil, err
	}
	command := strings.Join(args[:min(len(args), 1)], "")
	switch args = args[min(len(args), 1):]; {
	case command == "submit" && (len(args) == 3 || len(args) == 4):
		return p.submit(ctx, jobOf(args))
	case command == "verify" && (len(args) == 3 || len(args) == 4):
		return p.verify(ctx, jobOf(args))
	case command == "wait" && len(args) == 1:
		return p.wait(ctx, args[0])
	case command == "cancel" && len(args) == 1:
		return p.cancel(ctx, args[0])
	case command == "find" && len(args) == 1:
		return p.find(ctx, args[0])
	case command == "quota" && len(args) == 0:
		return p.quota(ctx)
	}
	return nil, errors.New(usage)
}

func fromEnvironment() (*platform, error) {
	for _, name := range []string{"LINKRELAY_URL", "LINKRELAY_KEY", "LINKRELAY_SECRET"} {
		if os.Getenv(name) == "" {
			return nil, errors.New("set " + name)
		}
	}
	p := &platform{strings.TrimRight(os.Getenv("LINKRELAY_URL"), "/"), os.Getenv("LINKRELAY_KEY"), os.Getenv("LINKRELAY_SECRET"), os.Getenv("LINKRELAY_SCHEME")}
	if p.scheme == "" {
		p.scheme = schemes[0]
	}
	if !slices.Contains(schemes, p.scheme) {
		return nil, errors.New("LINKRELAY_SCHEME must be one of " + strings.Join(schemes, ", "))
	}
	return p, nil
}

func jobOf(args []string) job {
	args = append(args, uuid())
	return job{TrackingURL: args[0], Source: args[1], RowID: args[2], IdempotencyKey: args[3]}
}

// explain shows all that the relay said about a refusal.
func explain(err error) string {
	p, ok := errors.AsType[*problem](err)
	if !ok {
		return err.Error()
	}
	text := p.Error()
	if p.Diagnosis != "" {
		text += "\ndiagnosis: " + p.Diagnosis
	}
	return text + "\n" + string(p.Document)
}
