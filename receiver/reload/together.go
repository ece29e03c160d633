package reload

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// turned is the link by which the kubelet turns a mounted directory to its next
// content.
const turned = "..data"

// ReadTogether returns the content of files of one directory. If the kubelet fills
// the directory, all are of the same content, even if it changes meanwhile. A file
// that is missing is an error that is fs.ErrNotExist.
func ReadTogether(dir string, names ...string) ([][]byte, error) {
	for range 3 {
		before := content(dir)
		files, err := readAll(dir, names)
		if content(dir) == before {
			return files, err
		}
	}
	return nil, errors.New("reading files of one directory: it changes all the time")
}

// content names what a mounted directory holds now; empty for an ordinary one.
func content(dir string) string {
	to, err := os.Readlink(filepath.Join(dir, turned))
	if err != nil {
		return ""
	}
	return to
}

func readAll(dir string, names []string) ([][]byte, error) {
	files := make([][]byte, 0, len(names))
	for _, name := range names {
		if !filepath.IsLocal(name) {
			return nil, fmt.Errorf("reading %q: %w", name, fs.ErrInvalid)
		}
		b, err := readFile(filepath.Join(dir, name), maxFile)
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", name, err)
		}
		files = append(files, b)
	}
	return files, nil
}
