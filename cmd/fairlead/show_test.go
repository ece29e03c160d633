package main

import "testing"

// TestHarmless holds that nothing of a text is an order to a terminal.
func TestHarmless(t *testing.T) {
	const text = "a\x1b]0;title\x07b\x1b[2Jc\r\xffd\u202ee\u009bf\ng\th"
	if got, want := harmless(text), "a ]0;title b [2Jc ?d e f\ng h"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := oneLine(text, 100), "a ]0;title b [2Jc ?d e f g h"; got != want {
		t.Errorf("on one line: got %q, want %q", got, want)
	}
}
