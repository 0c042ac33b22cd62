package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"linkrelay/client"
)

// desktopState is what a linked desktop keeps. It holds a secret.
type desktopState struct {
	RelayURL string `json:"relayUrl"`
	client.Credentials
}

const maxDesktopState = 64 << 10 // bytes; far more than one needs

// readDesktopState reads the credentials, unless others could have read them
// too: whoever has them can take the account's jobs and make API keys.
func readDesktopState(path string) (desktopState, error) {
	var s desktopState
	file, err := os.Open(path) //nolint:gosec // the user names this file
	if errors.Is(err, fs.ErrNotExist) {
		return s, usageError{fmt.Errorf("this computer is not linked (no %s): see linkrelay desktop link", path)}
	}
	if err != nil {
		return s, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return s, err
	}
	if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" { // there, the directory's rights protect it
		return s, usageError{fmt.Errorf("%s can be read or changed by others (mode %04o): chmod 600 it, and link again if they may have done so", path, info.Mode().Perm())}
	}
	text, err := io.ReadAll(io.LimitReader(file, maxDesktopState))
	if err != nil {
		return s, err
	}
	if json.Unmarshal(text, &s) != nil || s.KeyID == "" || s.Secret == "" { // the parser's error could show a part of it
		return s, usageError{fmt.Errorf("%s holds no credentials of a desktop: link again, with --replace", path)}
	}
	return s, nil
}

// stateFile is a credentials file in the making, beside the one it replaces.
type stateFile struct {
	path string
	temp *os.File
}

// newStateFile makes sure that credentials can be kept at path.
func newStateFile(path string) (*stateFile, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	temp, err := os.CreateTemp(dir, ".desktop-*.json") // mode 0600
	if err != nil {
		return nil, err
	}
	return &stateFile{path, temp}, nil
}

// save puts the credentials in place: all of them or, after a crash, what was
// there before.
func (f *stateFile) save(s desktopState) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if _, err := f.temp.Write(append(text, '\n')); err != nil {
		return err
	}
	if err := f.temp.Sync(); err != nil {
		return err
	}
	if err := f.temp.Close(); err != nil {
		return err
	}
	return os.Rename(f.temp.Name(), f.path)
}

// discard removes what is left of a file that was not saved.
func (f *stateFile) discard() {
	_ = f.temp.Close()
	_ = os.Remove(f.temp.Name())
}
