package command

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"linkrelay/relay"
)

func newDeviceCommand() *cobra.Command {
	return newOperatorGroup("device", "Look at the desktops of an account", newDeviceListCommand)
}

func newKeyCommand() *cobra.Command {
	return newOperatorGroup("key", "Look at the API keys of an account", newKeyListCommand)
}

func newDeviceListCommand(op *operator) *cobra.Command {
	return &cobra.Command{
		Use:   "list ACCOUNT",
		Short: "List the linked desktops",
		Args:  accountArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			type answer struct {
				Devices []relay.Device `json:"devices"`
			}
			return run(cmd, op, call{method: http.MethodGet, path: []string{args[0], "devices"}}, func(t table, a answer) {
				t.row("DEVICE", "NAME", "PLATFORM", "KEY", "IN FLIGHT", "LINKED")
				for _, d := range a.Devices {
					t.row(d.ID, d.Name, d.Platform, d.KeyID, d.InFlight, d.LinkedAt)
				}
			})
		},
	}
}

func newKeyListCommand(op *operator) *cobra.Command {
	return &cobra.Command{
		Use:   "list ACCOUNT",
		Short: "List the API keys and how much each of their secrets is used",
		Args:  accountArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(cmd, op, call{method: http.MethodGet, path: []string{args[0], "keys"}}, printKeys)
		},
	}
}

// printKeys prints a line for each secret of each key: whether an older secret
// is still in use is what its owner has to see before its end.
func printKeys(t table, inventory relay.KeyInventory) {
	t.row("KEY", "NAME", "SCHEMES", "SCOPES", "SECRET", "CREATED", "VALID UNTIL", "LAST USED", "USES")
	for _, k := range inventory.Keys {
		for _, s := range k.Secrets {
			end := cmp.Or(s.ValidUntil, k.ExpiresAt)
			t.row(k.ID, k.Name, join(k.Schemes), join(k.Scopes), s.Generation, s.CreatedAt, end, ago(s.LastUsedAt), s.Uses)
		}
	}
}

// ago tells how long ago a moment was, as coarsely as a person needs it. The
// relay writes uses every few seconds, and its clock may differ from ours.
func ago(at *time.Time) string {
	if at == nil {
		return "never"
	}
	switch d := max(time.Since(*at), 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", d/time.Hour)
	default:
		return fmt.Sprintf("%dd ago", d/(24*time.Hour))
	}
}

func join[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = string(v)
	}
	return strings.Join(texts, ",")
}
