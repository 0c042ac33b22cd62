package command

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"linkrelay/relay"
)

func newSignCommand() *cobra.Command {
	group := newGroup("sign", "Sign requests and URLs, and find out why a signature is refused",
		newSignRequestCommand(), newSignCheckCommand(), newSignURLCommand())
	group.Long = group.Short + ".\n\nNothing here uses the network, and no secret is ever printed."
	return group
}

// clockFlag is the moment that a signature is made or judged at.
type clockFlag struct{ seconds string }

func (f *clockFlag) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.seconds, "at", "", "the time, in unix seconds (default now)")
}

func (f *clockFlag) time() (time.Time, error) {
	if f.seconds == "" {
		return time.Now(), nil
	}
	seconds, err := strconv.ParseInt(f.seconds, 10, 64)
	if err != nil || seconds < 0 || seconds > maxUnixSeconds {
		return time.Time{}, usageError{errors.New("--at must be unix seconds, such as 1735689600")}
	}
	return time.Unix(seconds, 0), nil
}

const maxUnixSeconds = 9_999_999_999 // the schemes have ten digits

// inputFlags are what every command that signs or judges a request reads.
type inputFlags struct {
	key                         signingKeyFlags
	clock                       clockFlag
	method, url, body, bodyFile string
}

// message is a request without its signature.
type message struct {
	method string
	url    string // as it was given: whole, or from the path on
	target string // path and query, as the request line has them
	body   []byte
}

func (f *inputFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.method, "method", "", "the request's method (default POST with a body, GET without)")
	cmd.Flags().StringVar(&f.url, "url", "", "where it goes: a whole URL, or path and query, percent-encoded as it is sent")
	cmd.Flags().StringVar(&f.body, "body", "", "the body, as text")
	cmd.Flags().StringVar(&f.bodyFile, "body-file", "", "the file whose bytes are the body; - for standard input")
	f.key.register(cmd)
	f.clock.register(cmd)
}

// read returns the request, whose it is, and when.
func (f *inputFlags) read(cmd *cobra.Command) (m message, k signingKey, at time.Time, err error) {
	if m, err = f.message(cmd); err != nil {
		return m, k, at, err
	}
	if k, err = f.key.read(cmd); err != nil {
		return m, k, at, err
	}
	at, err = f.clock.time()
	return m, k, at, err
}

func (f *inputFlags) message(cmd *cobra.Command) (m message, err error) {
	m = message{method: f.method, url: f.url, body: []byte(f.body)}
	if m.target, err = requestTarget(f.url); err != nil {
		return m, err
	}
	if f.body != "" && f.bodyFile != "" {
		return m, usageError{errors.New("--body and --body-file are two ways to say one thing: leave one out")}
	}
	if f.bodyFile != "" {
		if m.body, err = readInput(cmd, f.bodyFile); err != nil {
			return m, err
		}
	}
	switch {
	case m.method == "" && len(m.body) > 0:
		m.method = http.MethodPost
	case m.method == "":
		m.method = http.MethodGet
	case strings.Trim(m.method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "":
		return m, usageError{errors.New("--method must be a method in capital letters, such as POST")}
	}
	return m, nil
}

// requestTarget is what the request line has of a URL. What clients would
// change on their way is refused: it would not be what was signed.
func requestTarget(url string) (string, error) {
	refuse := func(why string) (string, error) { return "", usageError{errors.New("--url " + why)} }
	if url == "" {
		return refuse("is missing: the whole URL of the call, or its path and query")
	}
	for _, r := range url {
		if r <= ' ' || r > '~' {
			return refuse("holds a space, a control character or one beyond ASCII: percent-encode it")
		}
	}
	if strings.Contains(url, "#") {
		return refuse("has a fragment, which is never sent: leave out # and what follows, or write %23")
	}
	rest, ok := strings.CutPrefix(url, "https://")
	if !ok {
		rest, ok = strings.CutPrefix(url, "http://")
	}
	if !ok {
		if !strings.HasPrefix(url, "/") {
			return refuse("must begin with http://, https:// or, for a path, with /")
		}
		return url, nil
	}
	i := strings.IndexAny(rest, "/?")
	if i < 0 {
		i = len(rest)
	}
	switch host, target := rest[:i], rest[i:]; {
	case host == "" || strings.Contains(host, "@"):
		return refuse("must name a host, without user name and password")
	case !strings.HasPrefix(target, "/"):
		return "/" + target, nil
	default:
		return target, nil
	}
}

// readInput reads a file that a flag names, or standard input for -.
func readInput(cmd *cobra.Command, path string) ([]byte, error) {
	in := cmd.InOrStdin()
	if path != "-" {
		file, err := os.Open(path) //nolint:gosec // the user names this file
		if err != nil {
			return nil, usageError{err}
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, relay.MaxActionBody+1))
	if err == nil && len(text) > relay.MaxActionBody {
		err = usageError{fmt.Errorf("%s holds more than %d bytes, which the relay takes from nobody", path, relay.MaxActionBody)}
	}
	return text, err
}

// oneStandardInput refuses to read two things from one stream.
func (f *inputFlags) oneStandardInput(others ...string) error {
	read := 0
	for _, path := range append(others, f.bodyFile, f.key.file, f.key.secretFile) {
		if path == "-" {
			read++
		}
	}
	if read > 1 {
		return usageError{errors.New("standard input (-) can be only one of the files")}
	}
	return nil
}
