package handler

// AppendSSE is the SSE encoder, for its fuzz test.
var AppendSSE = appendSSE

// Row is what tests see of a route.
type Row struct {
	Method, Path              string
	Signed, Device, NeedsBody bool
	TakesBody                 bool // also when it needs none
	Strict                    bool // unknown query parameters are refused
	QueryOnly                 bool // takes scheme signed-query only
}

// PublicTable lists the public routes.
func (h *Handler) PublicTable() []Row { return rows(h.publicRoutes()) }

// AdminTable lists the operators' routes.
func (h *Handler) AdminTable() []Row { return rows(h.adminRoutes()) }

func rows(table []route) (out []Row) {
	for _, r := range table {
		out = append(out, Row{r.method, r.path, r.auth == apiKey || r.auth == deviceKey, r.auth == deviceKey,
			r.body.limit > 0 && !r.body.optional, r.body.limit > 0, len(r.query) == 0 || r.query[0] != "*", r.signs&queryOnly != 0})
	}
	return out
}
