package command

import (
	"net/http"
	"strings"

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
		Short: "List the API keys; their secrets are shown to nobody",
		Args:  accountArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			return run(cmd, op, call{method: http.MethodGet, path: []string{args[0], "keys"}}, func(t table, inventory relay.KeyInventory) {
				t.row("KEY", "NAME", "SCHEMES", "SCOPES", "CREATED", "EXPIRES")
				for _, k := range inventory.Keys {
					t.row(k.ID, k.Name, join(k.Schemes), join(k.Scopes), k.CreatedAt, k.ExpiresAt)
				}
			})
		},
	}
}

func join[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = string(v)
	}
	return strings.Join(texts, ",")
}
