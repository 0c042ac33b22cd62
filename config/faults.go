package config

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Fault is one thing that is wrong with the settings. It never holds a value.
type Fault struct {
	Variable string
	Problem  string // what is wrong, with the value's shape
	Remedy   string // what to do about it
}

// Errors is everything that is wrong with the settings.
type Errors []Fault

// Error lists the faults, each with its remedy.
func (e Errors) Error() string {
	var b strings.Builder
	b.WriteString("the settings need mending:")
	for _, f := range e {
		fmt.Fprintf(&b, "\n  %s %s\n    remedy: %s", f.Variable, f.Problem, f.Remedy)
	}
	return b.String()
}

// faults collects Errors, at most one for each variable: what follows from a
// first fault only hides it.
type faults struct{ list Errors }

func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	return f.list
}

func (f *faults) has(variable string) bool {
	return slices.ContainsFunc(f.list, func(x Fault) bool { return x.Variable == variable })
}

func (f *faults) add(variable, problem, remedy string) {
	if !f.has(variable) {
		f.list = append(f.list, Fault{variable, problem, remedy})
	}
}

// shaped adds a fault about the variable's value, described by its shape.
func (f *faults) shaped(variable, problem, remedy string) {
	f.add(variable, "holds "+shape(os.Getenv(variable))+", "+problem, remedy)
}

// unreadable adds the fault of a value that does not parse as the field's type.
func (f *faults) unreadable(variable string, field any) {
	switch field.(type) {
	case time.Duration:
		f.shaped(variable, "which is not a duration", "write a number and a unit, such as 10s, 5m or 1h30m, or unset it for the default")
	case bool:
		f.shaped(variable, "which is neither true nor false", "write true or false, or unset it for the default")
	default:
		f.shaped(variable, "which is not a whole number", "write digits only, or unset it for the default")
	}
}

// shape describes a value without showing any of it, since a secret may have
// been put into the wrong variable.
func shape(value string) string {
	n := utf8.RuneCountInString(value)
	switch {
	case value == "":
		return "an empty text"
	case strings.Trim(value, "0123456789") == "":
		return fmt.Sprintf("a number of %d digits", n)
	case strings.TrimSpace(value) != value:
		return fmt.Sprintf("a text of %d characters with white space around it", n)
	}
	return fmt.Sprintf("a text of %d characters", n)
}

// serviceLink matches what Kubernetes (and old Docker links) put into the
// environment of every container for a Service whose name begins with "relay".
// They are nobody's typing mistake.
var serviceLink = regexp.MustCompile(`^RELAY_([A-Z0-9_]+_)?(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=|^RELAY_([A-Z0-9_]+_)?PORT=[a-z]+://`)

// typos adds a fault for each variable of ours that no command reads: a
// mistyped name would otherwise leave the default in place, silently.
func (f *faults) typos(environ []string) {
	known := Settings()
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, prefix+"_") || strings.HasPrefix(name, desktopPrefix) || serviceLink.MatchString(entry) {
			continue
		}
		if slices.ContainsFunc(known, func(s Setting) bool { return s.Name == name }) {
			continue
		}
		remedy := "unset it; the README lists every setting"
		if near := nearest(name, known); near != "" {
			remedy = "did you mean " + near + "? Otherwise unset it"
		}
		f.add(name, "is not a setting", remedy)
	}
	slices.SortFunc(f.list, func(a, b Fault) int { return cmp.Compare(a.Variable, b.Variable) })
}

// nearest returns the setting whose name needs the fewest edits to become the
// given one, or "" when a third of the letters would have to change.
func nearest(name string, known []Setting) string {
	strip := func(s string) string { return strings.TrimPrefix(strings.ToUpper(s), prefix+"_") }
	best, least := "", 1+len(strip(name))/3
	for _, s := range known {
		if d := edits(strip(name), strip(s.Name)); d <= least && (best == "" || d < least) {
			best, least = s.Name, d
		}
	}
	return best
}

// edits is the Levenshtein distance of two texts in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
