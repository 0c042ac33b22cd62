// Linkrelay takes signed link-fetch requests from platforms and hands them to
// the desktops that do the fetching. README.md says how to run it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"linkrelay/internal/command"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals) // first of all: a second signal ends the process at once
		cancel()
	}()
	os.Exit(command.Run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
