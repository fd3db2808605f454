-- What the operator of the manager says of facts. `about` is empty where it is said of all targets.
create table fact (
    name text not null,
    about text not null,
    value text not null,
    until bigint,
    primary key (name, about)
);
