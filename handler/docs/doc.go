// Package docs is what the relay tells about itself: the OpenAPI document, the
// page for people who write clients, one small page for each error code, and
// the published vectors. All of it is made once, from files in the binary, from
// relay's catalogue and limits and from signature's vectors, and never changes
// while the process runs. It holds values only; who serves them sets headers.
package docs
