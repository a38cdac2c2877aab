"""The composition root: settings become wired objects. The only importer of backends."""
