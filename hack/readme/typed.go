package readme

import (
	"fmt"
	"strings"
)

// Typed hands out the commands that one test has to type, and knows which it has
// not. It is for one goroutine.
type Typed struct{ left []Command }

// ToType returns the commands of all pages that by has to type.
func ToType(root string, by By) (*Typed, error) {
	entries := map[[2]string][]By{}
	for _, e := range Register() {
		at := [2]string{e.Page, e.Text}
		entries[at] = append(entries[at], e.By)
	}
	t := &Typed{}
	for _, page := range Pages() {
		list, err := Read(root, page)
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			at := [2]string{c.Page, c.Text}
			known := entries[at]
			if len(known) == 0 {
				continue // TestEveryCommandIsKnown tells of it
			}
			if known[0] == by {
				t.left = append(t.left, c)
			}
			if len(known) > 1 { // the same command stands there again
				entries[at] = known[1:]
			}
		}
	}
	return t, nil
}

// Next returns the first command of a page that begins so and was not returned yet.
func (t *Typed) Next(page, begins string) (Command, error) {
	for i, c := range t.left {
		if c.Page == page && strings.HasPrefix(c.Text, begins) {
			t.left = append(t.left[:i:i], t.left[i+1:]...)
			return c, nil
		}
	}
	return Command{}, fmt.Errorf("no command of %s that is left begins with %q", page, begins)
}

// Left returns the commands that were not handed out.
func (t *Typed) Left() []Command { return t.left }
