-- Scopes in which no new session begins. A hold that is released stays, with who released it.

create table hold (
    -- `all`, `target` or `source`; the apparatus is empty with `all`.
    scope text not null,
    apparatus text not null,
    since bigint not null,
    held_by text not null,
    reason text not null,
    released_at bigint,
    released_by text,
    primary key (scope, apparatus, since)
);
