"""The audit: a repository's concurrency as one page, from what the rules and facts say."""
