#include "base/err.h"
#include "base/slice.h"
#include "core/config_internal.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

/*
 * YAML to settings, through libyaml's document API: its nodes know their lines and columns.  A node
 * is visited only where a section of the table leads, so neither depth nor aliases of a file can
 * grow the work.
 */

static struct config_place place_of(yaml_mark_t mark)
{
    return (struct config_place){PLACE_FILE, mark.line + 1, mark.column + 1, NULL};
}

/* libyaml gives decoding errors an offset only. */
static struct config_place place_of_offset(const char *text, size_t len, size_t offset)
{
    struct config_place place = {PLACE_FILE, 1, 1, NULL};
    for (size_t i = 0; i < len && i < offset; i++) {
        place.column++;
        if (text[i] == '\n') {
            place.line++;
            place.column = 1;
        }
    }
    return place;
}

/* Empty without quotes, "~" or "null". */
static bool is_null(const yaml_node_t *n)
{
    if (n->type != YAML_SCALAR_NODE || n->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    const char *v = (const char *)n->data.scalar.value;
    return v[0] == '\0' || strcmp(v, "~") == 0 || strcmp(v, "null") == 0;
}

static const char *scalar_text(const yaml_node_t *n)
{
    return (const char *)n->data.scalar.value;
}

static int set_list(struct config_loader *l, const struct option *o, struct config_place place,
                    yaml_document_t *doc, const yaml_node_t *value)
{
    char reason[CONFIG_REASON_MAX];
    const yaml_node_item_t *item = value->data.sequence.items.start;
    option_clear_list(o, l->config);
    for (; item < value->data.sequence.items.top; item++) {
        const yaml_node_t *n = yaml_document_get_node(doc, *item);
        struct config_place at = place.kind == PLACE_FILE ? place_of(n->start_mark) : place;
        if (n->type != YAML_SCALAR_NODE || is_null(n))
            return config_fail(l, at, o->name, "must be a list of texts");
        const char *why =
            option_add_item(o, l->config, scalar_text(n), n->data.scalar.length, reason);
        if (why != NULL)
            return config_fail(l, at, o->name, "%s", why);
    }
    return 0;
}

static int set_value(struct config_loader *l, const struct option *o, struct config_place place,
                     yaml_document_t *doc, const yaml_node_t *value)
{
    char reason[CONFIG_REASON_MAX];
    l->places[o - config_options] = place;
    if (value->type == YAML_SEQUENCE_NODE && o->type == OPTION_LIST)
        return set_list(l, o, place, doc, value);
    if (value->type != YAML_SCALAR_NODE)
        return config_fail(l, place, o->name, "must be %s",
                           o->type == OPTION_LIST ? "a list" : "a single value");
    if (is_null(value))
        return config_fail(l, place, o->name, "has no value (an empty text is \"\")");
    bool plain = value->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    const char *why = option_set_scalar(o, l->config, scalar_text(value), value->data.scalar.length,
                                        plain, reason);
    return why != NULL ? config_fail(l, place, o->name, "%s", why) : 0;
}

static bool key_seen(yaml_document_t *doc, const yaml_node_t *map, const yaml_node_pair_t *until,
                     const char *key)
{
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < until; p++)
        if (strcmp(scalar_text(yaml_document_get_node(doc, p->key)), key) == 0)
            return true;
    return false;
}

static int walk_section(struct config_loader *l, yaml_document_t *doc, const yaml_node_t *map,
                        const char *prefix);

static bool join_path(const char *prefix, const char *name, char path[2 * OPTION_NAME_MAX])
{
    int n =
        snprintf(path, 2 * OPTION_NAME_MAX, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", name);
    return n >= 0 && n < 2 * OPTION_NAME_MAX;
}

static int walk_pair(struct config_loader *l, yaml_document_t *doc, const yaml_node_t *key,
                     const yaml_node_t *value, const char *prefix)
{
    char path[2 * OPTION_NAME_MAX];
    const char *name = scalar_text(key);
    bool fits = join_path(prefix, name, path) && strlen(name) == key->data.scalar.length;
    const struct option *o = fits && strchr(name, '.') == NULL ? option_find(path) : NULL;
    if (o != NULL)
        return set_value(l, o, place_of(value->start_mark), doc, value);
    if (fits && option_find(path) != NULL)
        return config_fail(l, place_of(key->start_mark), path, "must be written in its section");
    if (!fits || strchr(name, '.') != NULL || !option_is_section(path))
        return config_fail_unknown(l, place_of(key->start_mark), path);
    if (is_null(value))
        return 0;
    if (value->type != YAML_MAPPING_NODE)
        return config_fail(l, place_of(value->start_mark), path, "must be a section of settings");
    return walk_section(l, doc, value, path);
}

/* As deep as the table's names: walk_pair() goes into known sections only. */
static int walk_section(struct config_loader *l, yaml_document_t *doc, const yaml_node_t *map,
                        const char *prefix)
{
    const yaml_node_pair_t *pair = map->data.mapping.pairs.start;
    char path[2 * OPTION_NAME_MAX];
    int err = 0;
    for (; pair < map->data.mapping.pairs.top && err == 0; pair++) {
        const yaml_node_t *key = yaml_document_get_node(doc, pair->key);
        const yaml_node_t *value = yaml_document_get_node(doc, pair->value);
        if (key->type != YAML_SCALAR_NODE)
            return config_fail(l, place_of(key->start_mark), "YAML", "a name must be a text");
        if (key_seen(doc, map, pair, scalar_text(key))) {
            join_path(prefix, scalar_text(key), path);
            return config_fail(l, place_of(key->start_mark), path, "is given twice");
        }
        err = walk_pair(l, doc, key, value, prefix);
    }
    return err;
}

/* ---- a whole file ---- */

static int fail_syntax(struct config_loader *l, const yaml_parser_t *parser, const char *text,
                       size_t len)
{
    struct config_place place = parser->error == YAML_READER_ERROR
                                    ? place_of_offset(text, len, parser->problem_offset)
                                    : place_of(parser->problem_mark);
    return config_fail(l, place, "YAML", "%s",
                       parser->problem != NULL ? parser->problem : "cannot be read");
}

static int walk_root(struct config_loader *l, yaml_document_t *doc)
{
    const yaml_node_t *root = yaml_document_get_root_node(doc);
    if (root == NULL || is_null(root))
        return 0;
    if (root->type != YAML_MAPPING_NODE)
        return config_fail(l, place_of(root->start_mark), "YAML", "must be sections of settings");
    return walk_section(l, doc, root, "");
}

static int refuse_more(struct config_loader *l, yaml_parser_t *parser, const char *text, size_t len)
{
    yaml_document_t more;
    if (!yaml_parser_load(parser, &more))
        return fail_syntax(l, parser, text, len);
    const yaml_node_t *root = yaml_document_get_root_node(&more);
    int err = root != NULL ? config_fail(l, place_of(root->start_mark), "YAML",
                                         "must be one document, not several")
                           : 0;
    yaml_document_delete(&more);
    return err;
}

int config_yaml_file(struct config_loader *l, const char *text, size_t len)
{
    yaml_parser_t parser;
    yaml_document_t doc;
    if (!yaml_parser_initialize(&parser))
        return ERR_NOMEM;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    int err;
    if (!yaml_parser_load(&parser, &doc)) {
        err = fail_syntax(l, &parser, text, len);
    } else {
        bool empty = yaml_document_get_root_node(&doc) == NULL;
        err = walk_root(l, &doc);
        yaml_document_delete(&doc);
        if (err == 0 && !empty)
            err = refuse_more(l, &parser, text, len);
    }
    yaml_parser_delete(&parser);
    return err;
}

/* ---- one value ---- */

static int parse_value(struct config_loader *l, const struct option *o, struct config_place place,
                       const char *text)
{
    yaml_parser_t parser;
    yaml_document_t doc;
    if (!yaml_parser_initialize(&parser))
        return ERR_NOMEM;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    int err;
    if (!yaml_parser_load(&parser, &doc)) {
        err = config_fail(l, place, o->name, "is not a YAML scalar or flow list");
    } else {
        const yaml_node_t *root = yaml_document_get_root_node(&doc);
        err = root == NULL ? config_fail(l, place, o->name, "has no value")
                           : set_value(l, o, place, &doc, root);
        yaml_document_delete(&doc);
    }
    yaml_parser_delete(&parser);
    return err;
}

int config_yaml_value(struct config_loader *l, const struct option *o, struct config_place place,
                      const char *text)
{
    char reason[CONFIG_REASON_MAX];
    /* A bare address or secret may begin with a character that means something to YAML. */
    if (o->type != OPTION_TEXT || text[0] == '"' || text[0] == '\'')
        return parse_value(l, o, place, text);
    l->places[o - config_options] = place;
    const char *why = option_set_scalar(o, l->config, text, strlen(text), true, reason);
    return why != NULL ? config_fail(l, place, o->name, "%s", why) : 0;
}
