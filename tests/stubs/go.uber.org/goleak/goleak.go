// Package goleak has the declarations of go.uber.org/goleak that cases use.
package goleak

import "os"

// Option is a setting of a search.
type Option interface{ option() }

// TestingM is a *testing.M.
type TestingM interface{ Run() int }

// IgnoreCurrent leaves out the goroutines that run now.
func IgnoreCurrent() Option { return nil }

// Find returns an error when goroutines are left.
func Find(options ...Option) error { return nil }

// VerifyTestMain runs the tests, and fails when goroutines are left.
func VerifyTestMain(m TestingM, options ...Option) { os.Exit(m.Run()) }
