// Command bench measures what PERFORMANCE promises, on this machine and in one
// run: ratios and counts, never absolute times. It needs redis-server and exits
// 1 when a target that must be met is missed.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"text/tabwriter"
)

// figure is one line of the table.
type figure struct {
	id, what string
	value    float64
	target   float64
	most     bool // the target is a maximum, not a minimum
	required bool // missing the target fails the run
	note     string
}

func (f figure) met() bool {
	if f.most {
		return f.value <= f.target
	}
	return f.value >= f.target
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "linkrelay-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var all []figure
	for _, measure := range []func(context.Context, string) ([]figure, error){memory, admission} {
		figures, err := measure(ctx, dir)
		if err != nil {
			return err
		}
		all = append(all, figures...)
	}
	return report(all)
}

// report prints the table and fails when a required target is missed.
func report(all []figure) error {
	w := tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "id\twhat\tfigure\ttarget\tverdict\tnote")
	missed := 0
	for _, f := range all {
		relation, verdict := "≥", "met"
		if f.most {
			relation = "≤"
		}
		if !f.met() {
			verdict = "not yet"
			if f.required {
				verdict = "MISSED"
				missed++
			}
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%.2f\t%s %g\t%s\t%s\n", f.id, f.what, f.value, relation, f.target, verdict, f.note)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if missed > 0 {
		return fmt.Errorf("%d required targets were missed", missed)
	}
	return nil
}
