package server

import (
	"log/slog"
	"net/http"

	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

// adminEndpoint is what the admin API works on.
func (r *Receiver) adminEndpoint() v1.Endpoint {
	e := r.Config().Endpoint
	return v1.Endpoint{
		Namespace: e.Namespace, Name: e.Name, Source: e.Source(), Store: r.queue, Status: r.Status,
		MaxBody:  func() int64 { return r.Config().Limits.MaxBodyBytes },
		Reverify: r.intake.Reverify, Shows: r.intake.Shows,
	}
}

// adminAPI serves what a person asks and orders, for all receivers.
func (s *process) adminAPI() http.Handler {
	o := v1.Options{Logger: s.o.Logger, Now: s.o.Now}
	for _, r := range s.o.Receivers {
		o.Endpoints = append(o.Endpoints, r.adminEndpoint())
	}
	return v1.NewHandler(o)
}

// local is a server for people on this machine.
func (s *process) local(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadTimeout: s.o.ReadTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug)}
}
