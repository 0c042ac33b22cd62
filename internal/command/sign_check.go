package command

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

const signCheckExample = `  linkrelay sign check --credentials key.json --url /api/links/fetch --headers-file headers.txt --body-file job.json
  linkrelay sign check --credentials key.json --url '/api/links/quota?AccessID=…&Expires=…&Signature=…'
  curl -v … 2>&1 | sed -n 's/^> //p' | linkrelay sign check --credentials key.json --headers-file - --body-file job.json`

func newSignCheckCommand() *cobra.Command {
	s := &checking{}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with a signed request, or that nothing is",
		Long: "Judge a signed request as the relay would, without the relay: its headers or parameters, the key and the secret,\n" +
			"the time, the signature (with the mistake behind it, where it is a known one), and everything that the relay\n" +
			"checks before it looks at quota, membership and earlier requests. POST /api/links/verify asks the relay itself.\n\n" +
			"Give all headers that were sent, Content-Type included, with -H or in a file: one a line, as Name: value. A request\n" +
			"line (POST /path HTTP/1.1) among them stands for --method and --url. The exit code is 0 when the request is good,\n" +
			"and 1 when it is not.",
		Example: signCheckExample,
		Args:    exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return s.run(cmd) },
	}
	s.in.register(cmd)
	cmd.Flags().StringArrayVarP(&s.headers, "header", "H", nil, "a header that was sent, as Name: value; once for each")
	cmd.Flags().StringVar(&s.headersFile, "headers-file", "", "file with the headers that were sent; - for standard input")
	cmd.Flags().BoolVar(&s.asJSON, "json", false, "print the findings as JSON")
	return cmd
}

// checking holds the flags of sign check.
type checking struct {
	in          inputFlags
	headers     []string
	headersFile string
	asJSON      bool
}

func (s *checking) run(cmd *cobra.Command) error {
	if err := s.in.oneStandardInput(s.headersFile); err != nil {
		return err
	}
	header, err := s.readHeaders(cmd)
	if err != nil {
		return err
	}
	m, key, at, err := s.in.read(cmd)
	if err != nil {
		return err
	}
	d := &doctor{message: m, header: header, key: key, now: at}
	if err := d.examine(); err != nil {
		return err
	}
	if err := d.print(cmd, s.asJSON); err != nil {
		return err
	}
	if !d.good() {
		return errors.New("the relay would refuse this request")
	}
	return nil
}

// requestLine is the first line of a request, as clients show it.
var requestLine = regexp.MustCompile(`^([A-Z]+) (\S+) HTTP/[0-9.]+$`)

// readHeaders reads the headers of the flags and of the file.
func (s *checking) readHeaders(cmd *cobra.Command) (http.Header, error) {
	lines := s.headers
	if s.headersFile != "" {
		text, err := readInput(cmd, s.headersFile)
		if err != nil {
			return nil, err
		}
		lines = append(lines, strings.Split(string(text), "\n")...)
	}
	h := http.Header{}
	for i, line := range lines {
		line = strings.TrimRight(line, "\r")
		if first := requestLine.FindStringSubmatch(line); first != nil {
			s.in.method, s.in.url = cmp.Or(s.in.method, first[1]), cmp.Or(s.in.url, first[2])
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if strings.TrimSpace(line) == "" {
			continue
		}
		if !ok || strings.ContainsAny(name, " \t") || name == "" { // the line is not repeated: it may be a secret in the wrong place
			return nil, usageError{fmt.Errorf("header %d is not of the form Name: value", i+1)}
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		h[name] = append(h[name], strings.Trim(value, " \t"))
	}
	return h, nil
}

// print shows the findings.
func (d *doctor) print(cmd *cobra.Command, asJSON bool) error {
	if asJSON {
		return printValue(cmd, d.report())
	}
	w := cmd.OutOrStdout()
	t := newTable(w)
	for _, f := range d.findings {
		v := string(f.Verdict)
		if f.Verdict == wrong {
			v = strings.ToUpper(v)
		}
		t.row(f.Check, v, f.Text)
	}
	if err := t.flush(); err != nil {
		return err
	}
	d.printBase(w)
	return nil
}

func (d *doctor) printBase(w io.Writer) {
	if d.base != "" {
		fmt.Fprintf(w, "\nThe HMAC has to be made over these bytes:\n\n%s\n%s", indented(d.base), legend(d.base))
	}
}
