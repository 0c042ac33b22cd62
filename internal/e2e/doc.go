// Package e2e tests the whole program from outside: replicas started as the
// serve command starts them, on a real redis-server, called over sockets by the
// SDK, by raw requests and by programs in other languages.
package e2e
