package command

import (
	"errors"
	"net/http"

	"github.com/spf13/cobra"

	"linkrelay/relay"
)

func newJobCommand() *cobra.Command {
	return newOperatorGroup("job", "Look at dead letters, send them again or drop them",
		newJobDeadCommand, newJobRedriveCommand, newJobDropCommand)
}

func newJobDeadCommand(op *operator) *cobra.Command {
	var page pageFlags
	cmd := &cobra.Command{
		Use:   "dead ACCOUNT",
		Short: "List jobs that used up their attempts or cannot succeed",
		Args:  accountArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			query := page.query()
			query.Set("state", string(relay.Dead))
			c := call{method: http.MethodGet, path: []string{args[0], "jobs"}, query: query}
			return run(cmd, op, c, func(t table, p relay.Page[relay.DeadLetter]) {
				t.row("JOB", "DIED", "ATTEMPTS", "SOURCE", "ROW", "URL", "ERROR")
				for _, d := range p.Items {
					t.row(d.JobID, d.DiedAt, d.Attempts, d.Source, d.RowID, d.TrackingURL, d.Error)
				}
				page.more(cmd, p.Next)
			})
		},
	}
	page.register(cmd)
	return cmd
}

func newJobRedriveCommand(op *operator) *cobra.Command {
	return &cobra.Command{
		Use:   "redrive ACCOUNT JOB",
		Short: "Queue a dead job again with fresh attempts",
		Args:  jobArguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			c := call{method: http.MethodPost, path: []string{args[0], "jobs", args[1], "redrive"}}
			return run(cmd, op, c, func(t table, j relay.Job) {
				t.row("job", j.ID)
				t.row("state", j.State)
				t.row("expires", j.ExpiresAt)
			})
		},
	}
}

func newJobDropCommand(op *operator) *cobra.Command {
	return &cobra.Command{
		Use:   "drop ACCOUNT JOB",
		Short: "Take a dead job off the list",
		Args:  jobArguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			c := call{method: http.MethodDelete, path: []string{args[0], "jobs", args[1]}}
			return run(cmd, op, c, func(t table, _ struct{}) { t.row("dropped", args[1]) })
		},
	}
}

func jobArguments(cmd *cobra.Command, args []string) error {
	if err := exactly("ACCOUNT", "JOB")(cmd, args); err != nil {
		return err
	}
	if _, _, ok := relay.ParseJobID(args[1]); !ok {
		return usageError{errors.New("JOB must be a job id, such as linkrelay job dead prints")}
	}
	return checkAccount(args[0])
}
