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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from here on a second signal ends the process at once
	os.Exit(command.Run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
