#ifndef SLUICE_CLUSTER_REDIS_LUA_H
#define SLUICE_CLUSTER_REDIS_LUA_H

/* The texts of lua/, made by CMake. */
extern const char redis_lua_acquire[];
extern const char redis_lua_renew[];
extern const char redis_lua_release[];

#endif
