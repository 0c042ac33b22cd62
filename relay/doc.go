// Package relay is the vocabulary of linkrelay: jobs, deliveries, accounts,
// keys, devices, their states, the error catalogue and the limits that every
// other package speaks about. It imports nothing of ours and does no I/O.
package relay
