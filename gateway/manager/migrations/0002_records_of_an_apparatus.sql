-- The accesses of one apparatus are found without reading all. The first row of each names both ends.
create index record_by_source on record (source, session) where seq = 0;
create index record_by_destination on record (destination, session) where seq = 0;
