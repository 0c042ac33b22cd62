// Package examples runs the clients of examples/, in every language, against
// the published vectors and against a relay.
package examples
