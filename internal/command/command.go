// Package command is the command line: every command in a file of its own,
// under one Run that tests call as main does.
//
// Settings come from the process's environment, because that is what envconfig
// reads; see package config.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"linkrelay/config"
	"linkrelay/relay"
)

// What the process ends with.
const (
	exitOK          = 0
	exitFailed      = 1 // it was refused, or it failed
	exitUsage       = 2 // it was asked wrongly: arguments, flags or settings
	exitUnavailable = 3 // what it needs did not answer: try again
)

// Run runs one command line, without the program's name, and returns the exit
// code. Cancelling ctx asks it to finish in good order.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil {
		explain(stderr, cmd, err)
	}
	return exitCode(err)
}

func newRootCommand() *cobra.Command {
	root := newGroup("linkrelay", "Relay signed link-fetch requests from platforms to linked desktops")
	root.Long = root.Short + ".\n\nSettings are RELAY_… environment variables; the README lists them all.\n" +
		"Exit codes: 0 done, 1 refused or failed, 2 used wrongly, 3 not reachable."
	root.SilenceErrors = true // Run prints them, with the remedy
	root.SilenceUsage = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newServeCommand(), newDemoCommand(), newVersionCommand(), newDesktopCommand(), newAccountCommand(), newDeviceCommand(), newKeyCommand(), newJobCommand(), newSignCommand())
	return root
}

// newGroup returns a command that only holds others.
func newGroup(use, short string, subcommands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use:   use,
		Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = fmt.Sprintf("; did you mean %q?", near[0])
			}
			return usageError{fmt.Errorf("%q is not a command of %q%s", args[0], cmd.CommandPath(), hint)}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		// In letters; cobra's own default holds only for errors it makes itself.
		SuggestionsMinimumDistance: 2,
	}
	group.AddCommand(subcommands...)
	return group
}

// exactly wants as many arguments as there are names, and says which.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usageError{fmt.Errorf("%s takes %s, and %d arguments were given", cmd.CommandPath(), argumentList(names), len(args))}
		}
		return nil
	}
}

func argumentList(names []string) string {
	if len(names) == 0 {
		return "no arguments"
	}
	return strings.Join(names, " and ")
}

// usageError is a command line that asks for something that does not exist.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// unavailableError is something that could not be reached.
type unavailableError struct{ error }

func (e unavailableError) Unwrap() error { return e.error }

func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[config.Errors](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[unavailableError](err); ok {
		return exitUnavailable
	}
	if refusal, ok := errors.AsType[*relay.Error](err); ok && refusal.Status == http.StatusServiceUnavailable {
		return exitUnavailable
	}
	return exitFailed
}

// explain prints an error for a person: what was refused, why, and what to do.
func explain(w io.Writer, cmd *cobra.Command, err error) {
	fmt.Fprintf(w, "linkrelay: %s\n", printable(err.Error()))
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(w, "  remedy: see %s --help\n", cmd.CommandPath())
	}
	refusal, ok := errors.AsType[*relay.Error](err)
	if !ok {
		return
	}
	request := ""
	if refusal.RequestID != "" {
		request = ", request " + refusal.RequestID
	}
	fmt.Fprintf(w, "  %s (HTTP %d%s)\n", printable(refusal.Title), refusal.Status, printable(request))
	if refusal.Diagnosis != "" {
		fmt.Fprintf(w, "  %s\n", printable(refusal.Diagnosis))
	}
	for _, fault := range refusal.Errors {
		fmt.Fprintf(w, "  %s %s\n", printable(fault.Pointer), printable(fault.Reason))
	}
	for _, entry := range relay.Catalogue {
		if entry.Code == refusal.Code {
			fmt.Fprintf(w, "  remedy: %s\n", entry.Remedy)
		}
	}
}
