// Package deadlock has the types of github.com/sasha-s/go-deadlock that cases use.
package deadlock

import "sync"

// Mutex is a mutex of its own.
type Mutex struct{ mu sync.Mutex }

// Lock locks.
func (m *Mutex) Lock() { m.mu.Lock() }

// Unlock unlocks.
func (m *Mutex) Unlock() { m.mu.Unlock() }

// TryLock locks when nobody has it.
func (m *Mutex) TryLock() bool { return m.mu.TryLock() }

// RWMutex is a read-write mutex of its own.
type RWMutex struct{ mu sync.RWMutex }

// Lock locks.
func (m *RWMutex) Lock() { m.mu.Lock() }

// Unlock unlocks.
func (m *RWMutex) Unlock() { m.mu.Unlock() }

// RLock locks for reading.
func (m *RWMutex) RLock() { m.mu.RLock() }

// RUnlock unlocks what RLock locked.
func (m *RWMutex) RUnlock() { m.mu.RUnlock() }

// TryLock locks when nobody has it.
func (m *RWMutex) TryLock() bool { return m.mu.TryLock() }

// TryRLock locks for reading when nobody writes.
func (m *RWMutex) TryRLock() bool { return m.mu.TryRLock() }

// RLocker returns a Locker that locks for reading.
func (m *RWMutex) RLocker() sync.Locker { return m.mu.RLocker() }
