package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"linkrelay/relay"
	"linkrelay/signature"
)

// secretVariable is read when no file is named. It has not the relay's prefix:
// serve refuses to start with a RELAY_ variable that it does not know.
const secretVariable = "LINKRELAY_SECRET"

// signingKeyFlags say whose signature it is. There is no flag for the secret itself:
// others on the machine can read command lines.
type signingKeyFlags struct{ file, key, secretFile string }

// signingKey is a key as its owner holds it.
type signingKey struct {
	ID     string `json:"key"`
	Secret string `json:"secret"`

	// What else the answer to its creation says; no schemes mean that nothing is known.
	Schemes   []relay.Scheme `json:"schemes"`
	Scopes    []relay.Scope  `json:"scopes"`
	AllowSHA1 bool           `json:"allowSha1"`
	ExpiresAt *time.Time     `json:"expiresAt"`

	lineBreak bool // a line break followed the secret in its file, and was left out
}

// Format implements fmt.Formatter for every verb, so that no message can hold
// the secret.
func (k signingKey) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "key(%s)", k.ID) }

func (f *signingKeyFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "credentials", "", "file with the key and its secret, as desktop key create --json prints it")
	cmd.Flags().StringVar(&f.key, "key", "", "the key's id, instead of --credentials")
	cmd.Flags().StringVar(&f.secretFile, "secret-file", "", "file with the secret of --key; - for standard input (default the variable "+secretVariable+")")
}

// read returns the key as it is, right or wrong; ID may be empty.
func (f *signingKeyFlags) read(cmd *cobra.Command) (k signingKey, err error) {
	if f.file != "" && (f.key != "" || f.secretFile != "") {
		return k, usageError{errors.New("--credentials holds key and secret: leave out --key and --secret-file")}
	}
	if f.file != "" {
		text, err := readInput(cmd, f.file)
		if err != nil {
			return k, err
		}
		if json.Unmarshal(text, &k) != nil || k.ID == "" || k.Secret == "" { // the parser's error could show a part of it
			return k, usageError{fmt.Errorf(`%s holds no credentials: a JSON object with the members "key" and "secret"`, f.file)}
		}
		return k, nil
	}
	k = signingKey{ID: f.key, Secret: os.Getenv(secretVariable)}
	if signature.ValidSecret(f.secretFile) {
		return k, usageError{errors.New("--secret-file takes the name of a file, not the secret: it is in your shell's history now, and others could see it")}
	}
	if f.secretFile != "" {
		text, err := readInput(cmd, f.secretFile)
		if err != nil {
			return k, err
		}
		k.Secret = strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
		k.lineBreak = len(k.Secret) < len(text)
	}
	if k.Secret == "" {
		return k, usageError{errors.New("there is no secret: name a file with --credentials or --secret-file, or set " + secretVariable)}
	}
	return k, nil
}

// signer returns what signs with the key, unless the key cannot be right.
func (k signingKey) signer() (signature.Signer, error) {
	fault := k.idFault()
	if k.ID == "" {
		fault = "is missing: say with --credentials or --key whose request it is"
	}
	if fault != "" {
		return signature.Signer{}, usageError{errors.New("the key id " + fault)}
	}
	if fault := k.secretFault(); fault != "" {
		return signature.Signer{}, usageError{errors.New("the secret " + fault)}
	}
	return signature.Signer{KeyID: k.ID, Secret: k.Secret}, nil
}

// idFault continues a sentence that begins with the key id, or is "".
func (k signingKey) idFault() string { return keyIDFault(k.ID) }

func keyIDFault(id string) string {
	if _, ok := signature.ParseKeyID(id); ok {
		return ""
	}
	if signature.ValidSecret(id) {
		return "is a secret: the key id begins with lp_"
	}
	return "was never issued: it is mistyped or cut off (lp_live_, lp_test_ or lp_device_ and 22 characters, the last six of them a checksum)"
}

// secretFault continues a sentence that begins with the secret, or is "".
func (k signingKey) secretFault() string {
	const form = "lps_ and 49 characters, the last six of them a checksum"
	switch bare := strings.Trim(k.Secret, " \t\r\n\"'\uFEFF"); {
	case signature.ValidSecret(k.Secret):
		return ""
	case signature.ValidSecret(bare):
		return "has white space, quotes or a byte order mark around it: it is " + form + ", and nothing else"
	case keyIDFault(bare) == "":
		return "is a key id: the secret begins with lps_"
	}
	return "was never issued: it is mistyped or cut off (" + form + ")"
}
