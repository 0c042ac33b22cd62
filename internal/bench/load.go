package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"linkrelay/signature"
)

// load is the generator: connections that sign every request with a nonce and
// an idempotency key of its own and check every answer. It speaks HTTP/1.1 by
// hand, so that the ratios tell of the relay and not of a client library.
type load struct {
	addr        string
	signer      signature.Signer
	connections int
	sequence    *atomic.Int64 // of idempotency keys, over all loads of a run
}

// run lasts for d and returns accepted requests per second.
func (l load) run(ctx context.Context, d time.Duration) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var done atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, l.connections)
	start := time.Now()
	for range l.connections {
		wg.Go(func() {
			if err := l.connection(ctx, &done); err != nil {
				failed <- err
				cancel()
			}
		})
	}
	wg.Wait()
	rate := float64(done.Load()) / time.Since(start).Seconds()
	select {
	case err := <-failed:
		return 0, err
	default:
		return rate, nil
	}
}

func (l load) connection(ctx context.Context, done *atomic.Int64) error {
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	r := bufio.NewReaderSize(conn, 4096)
	var out bytes.Buffer
	for ctx.Err() == nil {
		key := strconv.FormatInt(l.sequence.Add(1), 10)
		out.Reset()
		l.request(&out, key)
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		if _, err := conn.Write(out.Bytes()); err != nil {
			return err
		}
		if err := checkAnswer(r, key); err != nil {
			return err
		}
		done.Add(1)
	}
	return nil
}

// body is 130 bytes for a key of six digits.
func body(key string) []byte {
	return []byte(`{"idempotencyKey":"bench-` + key + `","trackingUrl":"https://t.example.com/click?cid=` + key + `","source":"bench","rowId":"row-` + key + `"}`)
}

func (l load) request(out *bytes.Buffer, key string) {
	b := body(key)
	h := l.signer.V1(time.Now(), signature.NewNonce(), b)
	out.WriteString("POST /api/links/fetch HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\nContent-Length: ")
	out.WriteString(strconv.Itoa(len(b)))
	for name, values := range h {
		out.WriteString("\r\n" + name + ": " + values[0])
	}
	out.WriteString("\r\n\r\n")
	out.Write(b)
}

// checkAnswer reads one answer and requires that it is 202 with this key.
func checkAnswer(r *bufio.Reader, key string) error {
	status, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if name, value, ok := bytes.Cut(line, []byte(": ")); ok && bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	answer := make([]byte, length)
	for n := 0; n < length; {
		m, err := r.Read(answer[n:])
		if err != nil {
			return err
		}
		n += m
	}
	if status[:12] != "HTTP/1.1 202" || !bytes.Contains(answer, []byte(`"bench-`+key+`"`)) {
		return fmt.Errorf("answer to %s: %s%s", key, status, answer)
	}
	return nil
}
