package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"linkrelay/relay"
	"linkrelay/signature"
)

const signRequestExample = `  linkrelay sign request --credentials key.json --url http://127.0.0.1:8080/api/links/quota --curl | sh
  linkrelay sign request --credentials key.json --url http://127.0.0.1:8080/api/links/fetch --body-file job.json --curl
  linkrelay sign request --credentials key.json --url /api/links/fetch --body-file job.json > headers.txt
  linkrelay sign request --credentials key.json --scheme iklim --url /api/links/quota --explain
  linkrelay sign request --credentials key.json --scheme signed-query --url http://127.0.0.1:8080/api/links/fetch \
      --idempotency-key order-1001 --tracking-url 'https://example.com/click?id=1001' --source newsletter --row-id 1001`

func newSignRequestCommand() *cobra.Command {
	s := &signing{}
	cmd := &cobra.Command{
		Use:   "request",
		Short: "Sign a request under any scheme, and print its headers, its URL or a curl command",
		Long: "Sign a request and print what to add to it: the headers, one a line (curl -H @FILE takes them as they are), or,\n" +
			"under signed-query, the whole URL. --curl prints a command for sh that sends it; --explain says on standard\n" +
			"error which bytes were signed. A signature is good for a few minutes and, but for signed-query, for one request.\n\n" +
			"signed-query reads with --url alone, and creates a job with --idempotency-key, --tracking-url, --source and\n" +
			"--row-id, which become parameters of the URL; the key needs the scope jobs:create:query for that.",
		Example: signRequestExample,
		Args:    exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return s.run(cmd) },
	}
	s.register(cmd)
	return cmd
}

// signing holds the flags of sign request.
type signing struct {
	in inputFlags

	scheme, nonce string
	v1            bool
	job           signature.QueryJob // IdempotencyKey also for iklim
	expiresIn     time.Duration
	curl, explain bool
}

func (s *signing) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.scheme, "scheme", string(signature.SchemeLinkPeeler), "how to sign: link-peeler, iklim or signed-query")
	flags.BoolVar(&s.v1, "v1", false, "link-peeler: version 1, for POST /api/links/fetch only")
	s.in.register(cmd)
	flags.StringVar(&s.nonce, "nonce", "", "link-peeler and iklim: the nonce (default a fresh one)")
	flags.StringVar(&s.job.IdempotencyKey, "idempotency-key", "", "iklim: a UUID of version 4 (default the body's idempotencyKey, or a fresh one); signed-query: of the job to create")
	flags.StringVar(&s.job.TrackingURL, "tracking-url", "", "signed-query: of the job to create, not encoded")
	flags.StringVar(&s.job.Source, "source", "", "signed-query: of the job to create")
	flags.StringVar(&s.job.RowID, "row-id", "", "signed-query: of the job to create")
	flags.DurationVar(&s.expiresIn, "expires-in", 5*time.Minute, "signed-query: how long the URL is good, up to "+signature.MaxQueryAhead.String())
	flags.BoolVar(&s.curl, "curl", false, "print a curl command that sends the request")
	flags.BoolVar(&s.explain, "explain", false, "say on standard error which bytes were signed, the invisible ones made visible")
}

func (s *signing) run(cmd *cobra.Command) error {
	if err := s.check(cmd); err != nil {
		return err
	}
	m, key, at, err := s.in.read(cmd)
	if err != nil {
		return err
	}
	signer, err := key.signer()
	if err != nil {
		return err
	}
	signed, err := s.sign(signer, m, at)
	if err != nil {
		return err
	}
	if s.explain {
		explainBase(cmd.ErrOrStderr(), signed)
	}
	signed.print(cmd.OutOrStdout(), s.curl)
	return nil
}

// check refuses flags that do not belong together.
func (s *signing) check(cmd *cobra.Command) error {
	switch {
	case foreignFlags[s.scheme] == nil:
		return usageError{errors.New("--scheme must be link-peeler, iklim or signed-query")}
	case s.expiresIn < time.Second || s.expiresIn > signature.MaxQueryAhead:
		return usageError{fmt.Errorf("--expires-in must be between 1s and %v", signature.MaxQueryAhead)}
	case s.curl && strings.HasPrefix(s.in.url, "/"):
		return usageError{errors.New("--curl needs the whole URL in --url, with http:// or https://")}
	}
	for _, name := range foreignFlags[s.scheme] {
		if cmd.Flags().Changed(name) {
			return usageError{fmt.Errorf("--%s is not for --scheme %s", name, s.scheme)}
		}
	}
	return s.in.oneStandardInput()
}

// foreignFlags are, for each scheme, the flags that it has no use for.
var foreignFlags = map[string][]string{
	string(signature.SchemeLinkPeeler):  {"idempotency-key", "tracking-url", "source", "row-id", "expires-in"},
	string(signature.SchemeIklim):       {"v1", "tracking-url", "source", "row-id", "expires-in"},
	string(signature.SchemeSignedQuery): {"v1", "nonce", "body", "body-file"},
}

// signedMessage is a request that can be sent.
type signedMessage struct {
	message
	header http.Header
	proof  signature.Proof
	job    signature.QueryJob // of a signed query that creates
}

// sign signs, and reads the result as the relay will: what it would refuse for
// its form is refused here, in the same words.
func (s *signing) sign(signer signature.Signer, m message, at time.Time) (signed signedMessage, err error) {
	signed = signedMessage{message: m, header: http.Header{}}
	switch signature.Scheme(s.scheme) {
	case signature.SchemeSignedQuery:
		err = s.signQuery(signer, &signed, at)
	case signature.SchemeIklim:
		signed.header = s.signIklim(signer, m, at)
	default:
		signed.header, err = s.signLinkPeeler(signer, m, at)
	}
	if err != nil {
		return signed, err
	}
	proof, fault := signature.Parse(signed.header, signed.target)
	if fault != nil {
		return signed, usageError{fmt.Errorf("the relay would refuse this: %s%s %s", fault.Header, fault.Parameter, fault.Reason)}
	}
	proof.Creates = signed.job != signature.QueryJob{}
	signed.proof = proof
	if len(m.body) > 0 {
		signed.header.Set("Content-Type", "application/json")
	}
	return signed, nil
}

func (s *signing) signLinkPeeler(signer signature.Signer, m message, at time.Time) (http.Header, error) {
	nonce := s.nonce
	if nonce == "" {
		nonce = signature.NewNonce()
	}
	if !s.v1 {
		return signer.V2(at, nonce, m.method, m.target, m.body), nil
	}
	if m.method != http.MethodPost || m.target != "/api/links/fetch" {
		return nil, usageError{errors.New("--v1 signs POST /api/links/fetch only: it covers neither method nor path")}
	}
	return signer.V1(at, nonce, m.body), nil
}

func (s *signing) signIklim(signer signature.Signer, m message, at time.Time) http.Header {
	nonce, key := s.nonce, s.job.IdempotencyKey
	if nonce == "" {
		nonce = uuid.NewString()
	}
	if key == "" {
		key = bodyIdempotencyKey(m.body)
	}
	return signer.Iklim(at, nonce, key, m.method, m.target, m.body)
}

// bodyIdempotencyKey is the one that a job's body names, which iklim's header
// must repeat, or a fresh one.
func bodyIdempotencyKey(body []byte) string {
	var job struct {
		Key string `json:"idempotencyKey"`
	}
	if json.Unmarshal(body, &job) == nil && job.Key != "" {
		return job.Key
	}
	return uuid.NewString()
}

func (s *signing) signQuery(signer signature.Signer, signed *signedMessage, at time.Time) error {
	var query string
	if s.job == (signature.QueryJob{}) {
		if createsJob(signed.target) {
			return usageError{errors.New("this --url creates a job: give its values with --idempotency-key, --tracking-url, --source and --row-id, not in the URL")}
		}
		query = signer.ReadQuery(at.Add(s.expiresIn))
	} else {
		j := relay.JobRequest{IdempotencyKey: s.job.IdempotencyKey, TrackingURL: s.job.TrackingURL, Source: s.job.Source, RowID: s.job.RowID, Expiry: relay.DefaultExpiry}
		if refusal, refused := errors.AsType[*relay.Error](j.Validate(true)); refused {
			return usageError{fmt.Errorf("the relay would refuse this job: %s", refusalText(refusal))}
		}
		signed.job = s.job
		query = signer.CreateQuery(at.Add(s.expiresIn), s.job)
	}
	separator := "?"
	if strings.Contains(signed.url, "?") {
		separator = "&"
	}
	signed.url += separator + query
	var err error
	signed.target, err = requestTarget(signed.url)
	return err
}

// print writes what is to be sent.
func (m signedMessage) print(w io.Writer, curl bool) {
	switch {
	case curl:
		fmt.Fprintln(w, m.curl())
	case m.proof.Scheme == signature.SchemeSignedQuery:
		fmt.Fprintln(w, m.url)
	default:
		for _, line := range m.headerLines() {
			fmt.Fprintln(w, line)
		}
	}
}

// headerLines are the headers as they are sent, in alphabetical order.
func (m signedMessage) headerLines() []string {
	var lines []string
	for name, values := range m.header {
		for _, v := range values {
			lines = append(lines, name+": "+v)
		}
	}
	slices.Sort(lines)
	return lines
}
