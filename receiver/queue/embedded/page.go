package embedded

// Bounds of a page: of what is read before somebody's function is called with it,
// which may call the queue.
const (
	pageItems = 64
	pageBytes = 1 << 20
)

// page is some of what somebody asked for.
type page[T any] struct {
	found []T
	size  int // of all in bytes, as they are stored
}

func (p *page[T]) full() bool { return len(p.found) >= pageItems || p.size >= pageBytes }

func (p *page[T]) add(x T, size int) {
	p.found, p.size = append(p.found, x), p.size+size
}

// give empties the page, calls f with what it held, and reports whether f wants
// more.
func (p *page[T]) give(f func(T) bool) bool {
	found := p.found
	p.found, p.size = nil, 0
	for _, x := range found {
		if !f(x) {
			return false
		}
	}
	return true
}
