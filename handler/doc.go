// Package handler is the relay's HTTP surface: the route table, the checks in
// the order of CONTRACT §5, error rendering, the access log and the desktop
// streams. It keeps no state that another replica would need; everything it
// knows about accounts and jobs it asks a Store.
//
// Every route is one row of a table whose columns are its security attributes
// (routes.go). The checks a request passes are derived from its row, in one
// place (chain), so that no handler can forget one.
package handler
