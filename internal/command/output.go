package command

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/mattn/go-isatty"
)

// isTerminal reports whether a person watches this writer.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// table prints aligned columns for people.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

// row adds one line. Each cell is a text, a number or a time.
func (t table) row(cells ...any) {
	for i, cell := range cells {
		if i > 0 {
			fmt.Fprint(t.w, "\t")
		}
		fmt.Fprint(t.w, cellText(cell))
	}
	fmt.Fprintln(t.w)
}

func (t table) flush() error { return t.w.Flush() }

func cellText(cell any) string {
	switch v := cell.(type) {
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	case *time.Time:
		if v == nil {
			return "-"
		}
		return cellText(*v)
	}
	s := printable(strings.ReplaceAll(fmt.Sprint(cell), "\n", " "))
	if s == "" {
		return "-"
	}
	return s
}

// printable replaces what would steer a terminal, line breaks excepted. Names
// and failure texts come from desktops, which the operator need not trust.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\n' {
			return r
		}
		return '\uFFFD'
	}, s)
}
