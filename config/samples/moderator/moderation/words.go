package moderation

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// words is a set of words in lower case.
type words map[string]bool

func newWords(list []string) words {
	w := words{}
	for _, word := range list {
		w[strings.ToLower(word)] = true
	}
	return w
}

// in reports whether one of the words stands in text.
func (w words) in(text string) bool {
	for word := range strings.FieldsFuncSeq(text, between) {
		if w[strings.ToLower(word)] {
			return true
		}
	}
	return false
}

// masked returns text with an asterisk for each letter of the words in it, and
// whether there were any.
func (w words) masked(text string) (string, bool) {
	if !w.in(text) {
		return text, false
	}
	var b strings.Builder
	for rest := text; rest != ""; {
		end := strings.IndexFunc(rest, between)
		if end == 0 {
			_, size := utf8.DecodeRuneInString(rest)
			b.WriteString(rest[:size])
			rest = rest[size:]
			continue
		}
		if end < 0 {
			end = len(rest)
		}
		word := rest[:end]
		if w[strings.ToLower(word)] {
			word = strings.Repeat("*", utf8.RuneCountInString(word))
		}
		b.WriteString(word)
		rest = rest[end:]
	}
	return b.String(), true
}

// between reports whether a character stands between words.
func between(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) && r != '\''
}
