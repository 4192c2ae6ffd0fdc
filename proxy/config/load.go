package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sort"
	"strings"
)

// Override is a flag that the user gave: its name without dashes and its values, more than one
// only for a repeatable flag.
type Override struct {
	Flag   string
	Values []string
}

// Load reads file ("" = none), lets overrides win, and validates. What the keys notYet
// say, or that they say nothing, is no error. The error is [Errors], or wraps the file system's error when the file
// cannot be read.
func Load(file string, overrides []Override, notYet ...string) (*Config, error) {
	if file == "" {
		return load(&document{}, overrides, notYet...)
	}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read configuration: %w; replproxy needs no file: leave out -c, or begin with "+
			"the commented reference, which \"replproxy reference\" prints", err)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("read configuration: %w; the user that runs replproxy must be able to read it, and "+
			"passwords and keys belong into files of their own (PGPASSFILE, cluster.key_file)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	d, errs := parse(file, content)
	if len(errs) > 0 {
		return nil, errs
	}
	return load(d, overrides, notYet...)
}

func load(d *document, overrides []Override, notYet ...string) (*Config, error) {
	c := Default()
	c.file, c.origins = d, map[string]origin{}
	var errs Errors
	for _, f := range d.found {
		c.origins[f.key.id()] = origin{at: f.at, items: f.items}
		if err := f.key.of(c).set(f.texts); err != nil {
			errs = append(errs, c.at(f.key.id(), err.Error()))
		}
	}
	for _, o := range overrides {
		k, ok := keyByFlag(o.Flag)
		if !ok {
			errs = append(errs, &Error{Flag: o.Flag, Message: "unknown flag"})
			continue
		}
		c.origins[k.id()] = origin{flag: o.Flag}
		if err := k.of(c).set(o.Values); err != nil {
			errs = append(errs, c.at(k.id(), err.Error()))
		}
	}
	if c.Name == "" && !c.given("name") {
		c.Name = defaultName(os.Hostname())
	}
	if len(errs) == 0 {
		errs = slices.DeleteFunc(c.validate(), func(e *Error) bool {
			return slices.Contains(notYet, e.Key)
		})
	}
	if len(errs) > 0 {
		sort.SliceStable(errs, func(i, j int) bool { return errs[i].Line < errs[j].Line })
		return nil, errs
	}
	return c, nil
}

// id names a key whether or not it stands in the file.
func (k key) id() string {
	if k.path == "" {
		return "--" + k.flag
	}
	return k.path
}

// given reports whether a key was set by the file or a flag.
func (c *Config) given(key string) bool { o := c.origins[key]; return o.flag != "" || o.at != nil }

// FromFlag reports whether a key's value is a flag's.
func (c *Config) FromFlag(key string) bool { return c.origins[key].flag != "" }

// At returns an error about a key's value that another package found, with the place where it was set.
func (c *Config) At(key string, err error) error { return c.at(key, err.Error()) }

func (c *Config) at(key, message string) *Error {
	o := c.origins[key]
	switch {
	case o.flag != "":
		return &Error{Flag: o.flag, Key: key, Message: message}
	case o.at != nil:
		return c.file.at(o.at, key, message)
	}
	return &Error{File: c.file.name, Key: key, Message: message}
}

// atItem returns an error about one text of a list, offset bytes into it where the file has it as it is.
func (c *Config) atItem(key string, item, offset int, message string) *Error {
	o := c.origins[key]
	if o.flag != "" || item >= len(o.items) {
		return c.at(key, message)
	}
	e := c.file.at(o.items[item], key, message)
	if e.Line == 0 {
		return e
	}
	line := c.file.lines[e.Line-1]
	text, start := c.text(key, item), e.Column-1
	for skip := range 2 { // a quote may come first
		if from := start + skip; from <= len(line) && strings.HasPrefix(line[from:], text) {
			e.Column = from + offset + 1
		}
	}
	return e
}

// text returns one text of a list as the file has it.
func (c *Config) text(key string, item int) string {
	for _, f := range c.file.found {
		if f.key.id() == key && item < len(f.texts) {
			_, after, ruled := strings.Cut(f.texts[item], "\x00")
			if ruled {
				return after
			}
			return f.texts[item]
		}
	}
	return ""
}
