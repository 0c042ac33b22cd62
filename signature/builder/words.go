package builder

import (
	"strings"
	"unicode/utf8"
)

const longName = 32 // letters; no method has as many

// find returns a method by its name, or nil.
func find(name string) *method {
	for i := range methods {
		if methods[i].name == name {
			return &methods[i]
		}
	}
	return nil
}

// nearest returns the method that was probably meant, or "".
func nearest(name string) string {
	const far, short = 3, 3
	best, least := "", far
	name = strings.ToLower(name)
	for _, m := range methods {
		full := strings.ToLower(m.name)
		if len(name) >= short && strings.Contains(full, name) {
			return m.name
		}
		if d := distance(name, full); d < least {
			best, least = m.name, d
		}
	}
	return best
}

// distance counts the letters to insert, drop or change to make one name of
// another (Levenshtein). Long names are far from everything.
func distance(a, b string) int {
	if len(a) > longName {
		return longName
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// mask replaces what could be a secret by asterisks, one for each character.
// What comes before anything of the language cannot be one.
func mask(template string) string {
	begin := strings.IndexFunc(template, func(r rune) bool { return strings.ContainsRune(`{}"`, r) || isQuoteLike(string(r)) })
	if i := strings.Index(template, "hash"); i >= 0 && (begin < 0 || i < begin) {
		begin = i
	}
	if begin < 0 {
		return template
	}
	var out strings.Builder
	out.WriteString(template[:begin])
	for rest := template[begin:]; rest != ""; {
		piece := span(rest, isWord)
		shown := piece == "hash" || find(piece) != nil
		if piece == "" {
			_, size := utf8.DecodeRuneInString(rest)
			piece = rest[:size]
			shown = strings.Contains(" \t\r\n{}().,;\"", piece)
		}
		rest = rest[len(piece):]
		if !shown {
			piece = strings.Repeat("*", utf8.RuneCountInString(piece))
		}
		out.WriteString(piece)
	}
	return out.String()
}
